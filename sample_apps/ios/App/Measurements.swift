import Foundation
import MobileKitRuntime
import Observation

/// What was timed since the app began, by model and compute units.
@MainActor @Observable
final class Measurements {
    struct Row: Identifiable, Sendable {
        let id, title, folder: String
        let p50Ms, loadMs: Double
        let passed: Bool
        /// As the kit reads it.
        fileprivate let result: Data
    }

    private struct Figures: Decodable {
        struct Latency: Decodable { let p50: Double }
        struct Load: Decodable { let coldUs: Double }
        struct Validity: Decodable { let parityHeld: Bool }

        let latency: Latency
        let load: Load
        let validity: Validity
    }

    /// The fastest first.
    private(set) var rows: [Row] = []
    /// A file for each model, as the kit reads the results of one artifact at a time.
    private(set) var files: [URL] = []
    /// Why something wasn't timed, a line each.
    private(set) var problems: [String] = []
    /// What is timed now, and how many calls were; nil where nothing is.
    private(set) var running: (title: String, calls: Int)?

    /// Test and time choices, one after another. It ends early where its task is cancelled.
    func run(_ choices: [Choice], in store: ModelStore, on device: Benchmark.Device) async {
        guard running == nil else { return }
        defer { running = nil }
        (problems, store.notice) = ([], nil)
        for choice in choices {
            running = (choice.title, 0)
            let (counts, sender) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingNewest(1))
            let counting = Task { for await count in counts { running?.calls = count } }
            do {
                let data = try await store.engine.benchmark(choice, on: device) { sender.yield($0) }
                try add(data, of: choice)
            } catch is CancellationError {
                problems.append("The benchmark was stopped.")
            } catch { problems.append(error.localizedDescription) }
            counting.cancel()
            await counting.value
            guard !Task.isCancelled else { return }
        }
    }

    /// Keep a result in place of an earlier one of the same choice, and write the file of its model.
    /// Throws: MobileKitError where it isn't a result, or the file can't be written.
    func add(_ result: Data, of choice: Choice) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let figures = try? decoder.decode([Figures].self, from: result).first else {
            throw MobileKitError("\(choice.title): the benchmark gave no figures. Run it again.")
        }
        let row = Row(
            id: choice.id, title: choice.title, folder: choice.artifact.folder.lastPathComponent,
            p50Ms: figures.latency.p50 / 1000, loadMs: figures.load.coldUs / 1000,
            passed: figures.validity.parityHeld, result: result)
        rows = (rows.filter { $0.id != row.id } + [row]).sorted { $0.p50Ms < $1.p50Ms }
        try write(row.folder)
    }

    private func write(_ folder: String) throws {
        let file = URL.temporaryDirectory.appending(path: "bench-\(folder).json")
        do {
            let results = try rows.filter { $0.folder == folder }.flatMap { row in
                try JSONSerialization.jsonObject(with: row.result) as? [Any] ?? []
            }
            let data = try JSONSerialization.data(withJSONObject: results, options: [.prettyPrinted, .sortedKeys])
            try data.write(to: file, options: .atomic)
        } catch {
            let name = file.lastPathComponent
            throw MobileKitError("\(name) can't be written (\(error.localizedDescription)). Free storage.")
        }
        if !files.contains(file) { files.append(file) }
    }
}
