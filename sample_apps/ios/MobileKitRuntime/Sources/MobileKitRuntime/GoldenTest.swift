import Foundation

/// Whether a file computes on this device what its checkpoint computes, on the artifact's golden photo and values.
public struct GoldenTest: Sendable {
    /// An output against the checkpoint's. passed: nil where the output isn't judged.
    public struct Distance: Sendable {
        public let name: String
        /// Decibels; infinite where both are equal.
        public let sqnr: Double
        public let least: Double?
        public var passed: Bool? { least.map { sqnr >= $0 } }
    }

    /// The test of one runner.
    public struct Report: Sendable {
        public let runner: String
        public let distances: [Distance]
        /// How far the app's geometry is from the golden input, in grey levels; nil where the file takes no bytes.
        public let geometryError: Int?
        /// Whether the outputs' bounds notice that red and blue are swapped; nil where the input isn't RGB.
        public let canaryNoticed: Bool?
        /// Milliseconds from the file to a model that runs: at first, and again.
        public let coldMs, warmMs: Double
        /// Why it failed, a line each.
        public let reasons: [String]
        public var passed: Bool { reasons.isEmpty }
    }

    /// As far as the geometry may be from the checkpoint's own.
    static let mostGreyLevels = 1

    private let artifact: Artifact
    private let photo: PixelImage

    /// photo: golden/photo.png, decoded.
    public init(_ artifact: Artifact, photo: PixelImage) {
        (self.artifact, self.photo) = (artifact, photo)
    }

    /// Load the file twice, and hold what the second computes against the golden values.
    /// Throws: MobileKitError where it can't be loaded or run, or a golden file can't be read.
    public func run(_ load: () throws -> any ModelRunner) throws -> (Report, any ModelRunner) {
        let (_, cold) = try timed(load)
        let (runner, warm) = try timed(load)
        let inputs = try artifact.goldenInputs()
        let distances = try distances(of: runner.run(inputs))
        let geometry = try geometryError(inputs)
        let canary = try swapped(inputs).map { try self.distances(of: runner.run($0)).contains { $0.passed == false } }
        let report = Report(
            runner: runner.name, distances: distances, geometryError: geometry, canaryNoticed: canary,
            coldMs: cold * 1000, warmMs: warm * 1000, reasons: reasons(distances, geometry, canary))
        return (report, runner)
    }

    private func reasons(_ distances: [Distance], _ geometry: Int?, _ canary: Bool?) -> [String] {
        var reasons = distances.filter { $0.passed == false }.map {
            "\($0.name): " + String(format: "%.1f dB of at least %.1f dB.", $0.sqnr, $0.least ?? 0)
        }
        if let geometry, geometry > Self.mostGreyLevels {
            reasons.append("The golden photo became another input: \(geometry) grey levels away.")
        }
        if distances.allSatisfy({ $0.passed == nil }) {
            reasons.append("No output is judged: models.json has no bound for this model.")
        } else if canary == false {
            reasons.append("Swapped red and blue go unnoticed.")
        }
        return reasons
    }

    private func distances(of outputs: [String: TensorData]) throws -> [Distance] {
        let outputs = try artifact.checked { outputs[$0.name] }
        return try artifact.manifest.outputs.map { output in
            let sqnr = sqnr(outputs[output.name]?.doubles ?? [], try artifact.golden(output).doubles)
            return Distance(name: output.name, sqnr: sqnr, least: artifact.leastSqnrDb[output.name])
        }
    }

    private func geometryError(_ inputs: [String: TensorData]) throws -> Int? {
        guard let golden = inputs[artifact.manifest.inputs[0].name], golden.kind == .uint8 else { return nil }
        let image = artifact.manifest.inputs[0]
        let mine = try Preprocessor(artifact.manifest.preprocess).input(photo, for: image)
        return zip(mine.bytes, golden.bytes).map { abs(Int($0) - Int($1)) }.max()
    }

    /// The inputs with red and blue swapped; nil where the image isn't RGB bytes.
    private func swapped(_ inputs: [String: TensorData]) -> [String: TensorData]? {
        let image = artifact.manifest.inputs[0]
        guard var bytes = inputs[image.name]?.bytes, image.color == "RGB", image.shape.last == 3, image.dtype == .uint8
        else { return nil }
        for place in stride(from: 0, to: bytes.count, by: 3) { bytes.swapAt(place, place + 2) }
        var result = inputs
        result[image.name] = TensorData(kind: .uint8, shape: image.shape, bytes: bytes)
        return result
    }
}

/// Signal to noise in decibels; not a number where an output isn't.
func sqnr(_ values: [Double], _ reference: [Double]) -> Double {
    guard values.count == reference.count else { return .nan }
    let noise = zip(values, reference).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let signal = reference.reduce(0) { $0 + $1 * $1 }
    return noise == 0 ? .infinity : 10 * log10(max(signal, 1e-300) / noise)
}

/// A result, and the seconds until it was there.
func timed<Value>(_ work: () throws -> Value) rethrows -> (Value, Double) {
    let start = ContinuousClock.now
    let value = try work()
    return (value, (ContinuousClock.now - start) / .seconds(1))
}
