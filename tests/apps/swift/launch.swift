// Launches the app's own objects without its screens: FOLDER [again|measure]; answers in JSON.
import Foundation
import MobileKitRuntime

extension Artifact {
    /// Linux decodes no PNG. The test of a model ends the app where its folder says so.
    func goldenPhoto() throws -> PixelImage {
        if FileManager.default.fileExists(atPath: folder.appending(path: "ends").path) {
            UserDefaults.standard.synchronize()
            exit(9)
        }
        return try PixelImage(height: 1, width: 1, bytes: [0, 0, 0, 0])
    }
}

/// Gives the golden values, as fast as it is asked to.
final class StandIn: ModelRunner {
    let name: String
    private let outputs: [String: TensorData]
    private let seconds: Double

    init(_ choice: Choice, seconds: Double) throws {
        let records = choice.artifact.manifest.outputs
        outputs = try Dictionary(uniqueKeysWithValues: records.map { ($0.name, try choice.artifact.golden($0)) })
        (name, self.seconds) = ("stand-in \(choice.units.rawValue)", seconds)
    }

    func run(_ inputs: [String: TensorData]) -> [String: TensorData] {
        Thread.sleep(forTimeInterval: seconds)
        return outputs
    }
}

@main
struct Launch {
    @MainActor
    static func main() async throws {
        let words = CommandLine.arguments
        let store = ModelStore(folder: URL(fileURLWithPath: words[1]))
        let answer = words[2] == "measure" ? try measured(store) : await tested(store, again: words[2] == "again")
        UserDefaults.standard.synchronize()
        print(String(decoding: try JSONSerialization.data(withJSONObject: answer), as: UTF8.self))
    }

    @MainActor
    private static func tested(_ store: ModelStore, again: Bool) async -> [String: Any] {
        let first = store.choice?.title
        let selfTest = SelfTest()
        await selfTest.run(store)
        for row in selfTest.rows {
            if again, case .skipped = row.outcome { await selfTest.run(row, in: store) }
        }
        let rows = selfTest.rows.map { row in
            switch row.outcome {
            case .tested: [row.choice.title, "tested"]
            case .failed(let line): [row.choice.title, line]
            case .skipped: [row.choice.title, "skipped"]
            }
        }
        return ["first": first ?? "none", "rows": rows, "ended": store.endedApp.sorted()]
    }

    /// Each choice takes half of what the one before it takes; the first is timed twice.
    @MainActor
    private static func measured(_ store: ModelStore) throws -> [String: Any] {
        let measurements = Measurements()
        var plan = Benchmark.Plan()
        (plan.warmupRuns, plan.runs, plan.leastS) = (0, 5, 0)
        let choices = store.choices
        for (place, choice) in [(0, choices[0])] + Array(choices.enumerated()) {
            let load = { try StandIn(choice, seconds: 0.064 / Double(1 << place)) }
            let (report, runner) = try GoldenTest(choice.artifact, photo: choice.artifact.goldenPhoto()).run(load)
            let result = try Benchmark(choice.artifact, plan: plan).run(runner, after: report, on: Benchmark.Device())
            try measurements.add(result, of: choice)
        }
        let rows = measurements.rows.map { [$0.title, $0.p50Ms, $0.loadMs, $0.passed] as [Any] }
        return ["rows": rows, "files": measurements.files.map(\.lastPathComponent)]
    }
}
