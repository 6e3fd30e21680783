import MobileKitRuntime
import Observation

/// The golden test of every model on everything that it runs on.
@MainActor @Observable
final class SelfTest {
    enum Outcome: Sendable {
        case tested(GoldenTest.Report)
        /// Why it couldn't be loaded or run.
        case failed(String)
        /// Its test ended the app, so that only the user begins it again.
        case skipped
    }

    struct Row: Identifiable, Sendable {
        let choice: Choice
        let outcome: Outcome

        var id: String { choice.id }
    }

    private(set) var rows: [Row] = []
    /// What is tested now; nil where nothing is.
    private(set) var running: String?

    /// Test all but those whose test ended the app: it would end at every launch.
    func run(_ store: ModelStore) async {
        guard running == nil else { return }
        rows = []
        await test(store.choices, in: store, skipping: store.endedApp)
    }

    /// Test one that was skipped.
    func run(_ skipped: Row, in store: ModelStore) async {
        guard running == nil else { return }
        await test([skipped.choice], in: store, skipping: [])
    }

    private func test(_ choices: [Choice], in store: ModelStore, skipping skipped: Set<String>) async {
        defer { running = nil }
        store.notice = nil
        for choice in choices {
            running = choice.title
            let outcome = await skipped.contains(choice.id) ? .skipped : outcome(of: choice, in: store)
            let row = Row(choice: choice, outcome: outcome)
            if let place = rows.firstIndex(where: { $0.id == row.id }) { rows[place] = row } else { rows.append(row) }
        }
    }

    /// The choice counts as one that ended the app until its test is over.
    private func outcome(of choice: Choice, in store: ModelStore) async -> Outcome {
        store.endedApp.insert(choice.id)
        defer { store.endedApp.remove(choice.id) }
        do { return .tested(try await store.engine.test(choice)) } catch { return .failed(error.localizedDescription) }
    }
}
