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
            let outcome: Outcome
            do { outcome = .tested(try await store.engine.test(choice)) } catch {
                outcome = .failed(error.localizedDescription)
            }
            rows.append(Row(id: choice.id, title: choice.title, outcome: outcome))
        }
    }
}
