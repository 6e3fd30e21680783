import MobileKitRuntime
import Observation

/// The golden test of every model on everything that it runs on.
@MainActor @Observable
final class SelfTest {
    enum Outcome: Sendable {
        case tested(GoldenTest.Report)
        /// Why it couldn't be loaded or run.
        case failed(String)
    }

    struct Row: Identifiable {
        let id, title: String
        let outcome: Outcome
    }

    private(set) var rows: [Row] = []
    /// What is tested now; nil where nothing is.
    private(set) var running: String?

    func run(_ store: ModelStore) async {
        guard running == nil else { return }
        defer { running = nil }
        (rows, store.notice) = ([], nil)
        for choice in store.choices {
            running = choice.title
            rows.append(Row(id: choice.id, title: choice.title, outcome: await outcome(of: choice, in: store)))
        }
    }

    /// A model that ended the app in its test isn't tested at once again: every launch would end so.
    private func outcome(of choice: Choice, in store: ModelStore) async -> Outcome {
        defer { store.underTest = nil }
        guard store.underTest != choice.id else {
            return .failed("The app ended in this test: iOS may have needed its memory. Run it again.")
        }
        store.underTest = choice.id
        do { return .tested(try await store.engine.test(choice)) } catch { return .failed(error.localizedDescription) }
    }
}
