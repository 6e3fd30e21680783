import Foundation

/// Times a loaded model, and writes what was measured as the kit's results (`mobile-kit list --schema result`).
public struct Benchmark: Sendable {
    /// How much is measured: at least so many calls and seconds, unless it takes too long.
    public struct Plan: Sendable {
        public var (warmupRuns, runs) = (5, 50)
        public var (leastS, mostS) = (1.0, 150.0)

        public init() {}
    }

    /// The machine, as far as the app knows it.
    public struct Device: Sendable {
        public var name = "unknown"
        public var os, osVersion, manufacturer, model: String?
        public var emulated, charging: Bool?
        public var batteryPercent: Double?

        public init() {}
    }

    private let artifact: Artifact
    private let plan: Plan

    public init(_ artifact: Artifact, plan: Plan = Plan()) {
        (self.artifact, self.plan) = (artifact, plan)
    }

    /// Time a runner after its self-test, and return a list with the result as JSON. tell: is given each call's number.
    /// Throws: MobileKitError where a call fails; CancellationError where the task is cancelled.
    public func run(
        _ runner: any ModelRunner, after test: GoldenTest.Report, on device: Device, tell: (Int) -> Void = { _ in }
    ) throws -> Data {
        let (began, before) = (Date(), thermalState())
        let inputs = try artifact.goldenInputs()
        let first = try timed { try runner.run(inputs) }.1
        for _ in 0..<plan.warmupRuns { _ = try runner.run(inputs) }
        var calls: [Double] = []
        var total = 0.0
        repeat {
            try Task.checkCancellation()
            let milliseconds = try timed { try runner.run(inputs) }.1
            calls.append(milliseconds * 1e3)
            total += milliseconds / 1e3
            tell(calls.count)
        } while (calls.count < plan.runs || total < plan.leastS) && total <= plan.mostS
        var record = described(runner.name, device, test)
        record["latency"] = latency(calls, first: first * 1e3)
        record["run"] = nullable([
            "id": UUID().uuidString, "harness": "app", "tool": "MobileKitRuntime", "tool_version": nil,
            "started_at": ISO8601DateFormatter().string(from: began), "source_file_sha256": nil,
        ])
        let after = thermalState()
        record["thermal"] = nullable([
            "before_c": nil, "after_c": nil, "status_before": before, "status_after": after,
            "throttled": after.map { $0 == "serious" || $0 == "critical" },
        ])
        return try JSONSerialization.data(withJSONObject: [record], options: [.prettyPrinted, .sortedKeys])
    }

    /// All of a result that isn't timed here.
    private func described(_ delegate: String, _ device: Device, _ test: GoldenTest.Report) -> [String: Any] {
        let (manifest, process, warm) = (artifact.manifest, ProcessInfo.processInfo, test.warmMs.map { $0 * 1e3 })
        let parity = test.distances.map { distance in
            nullable([
                "name": distance.name, "max_error": nil, "sqnr_db": distance.sqnr.isFinite ? distance.sqnr : nil,
                "top1": nil, "pixel_agreement": nil, "bound": distance.least.map { "SQNR >= \($0) dB" },
                "passed": distance.passed,
            ])
        }
        return [
            "schema_version": 1, "ops": [Any](), "parity": parity, "env": [String: String](),
            "model": nullable([
                "name": artifact.folder.lastPathComponent, "family": manifest.model.family, "target": manifest.target,
                "head": manifest.model.head, "source": manifest.model.source, "backend": manifest.backend,
                "recipe": manifest.recipe.name, "sha256": manifest.modelSha256,
                "size_bytes": manifest.modelFiles.reduce(0) { $0 + $1.bytes },
            ]),
            "device": nullable([
                "name": device.name, "kind": "app", "emulated": device.emulated, "os": device.os, "soc": nil,
                "os_version": device.osVersion, "manufacturer": device.manufacturer, "model": device.model, "abi": nil,
                "cores": process.processorCount, "ram_bytes": Int(process.physicalMemory), "governor": nil,
                "battery_percent": device.batteryPercent, "charging": device.charging,
            ]),
            "config": nullable([
                "delegate": delegate, "threads": nil, "cores": nil, "warmup_runs": plan.warmupRuns, "warmup_s": nil,
                "runs": plan.runs, "min_s": plan.leastS, "max_s": plan.mostS, "cooldown_s": nil, "input": "golden",
            ]),
            "load": nullable(["cold_us": test.coldMs * 1e3, "warm_us": warm, "compile_us": nil]),
            "memory": unknown("peak_bytes", "init_bytes", "overall_bytes", "pss_bytes", "range_bytes"),
            "pipeline": unknown("preprocess_us", "inference_us", "postprocess_us"),
            "placement": unknown("total", "npu", "gpu", "cpu", "partitions"),
            "validity": nullable([
                "enough_runs": nil, "long_enough": nil, "not_throttled": nil, "one_delegate": nil, "undisturbed": nil,
                "parity_held": test.passed, "completed": true, "reasons": test.reasons, "valid": test.passed,
            ]),
        ]
    }
}

/// What isn't known is null in a result, and each key is there.
func nullable(_ values: [String: Any?]) -> [String: Any] { values.mapValues { $0 ?? NSNull() } }

private func unknown(_ keys: String...) -> [String: Any] {
    Dictionary(uniqueKeysWithValues: keys.map { ($0, NSNull()) })
}

private func thermalState() -> String? {
    #if canImport(Darwin)
    let state = ProcessInfo.processInfo.thermalState.rawValue
    return ["nominal", "fair", "serious", "critical"].dropFirst(state).first
    #else
    return nil
    #endif
}
