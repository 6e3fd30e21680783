/// What Core ML may compute on, as coremltools names it. Whatever else ExecuTorch uses was chosen at export.
public enum ComputeUnits: String, CaseIterable, Sendable {
    case all = "ALL"
    case cpuAndNeuralEngine = "CPU_AND_NE"
    case cpuAndGPU = "CPU_AND_GPU"
    case cpuOnly = "CPU_ONLY"
}

/// A loaded model file. It makes one call at a time: keep it in one actor.
public protocol ModelRunner: AnyObject {
    /// What computes, for a person to read and for results.
    var name: String { get }

    /// The file's outputs by name. inputs: all of the manifest's, by name, as they enter the file.
    /// Throws: MobileKitError.
    func run(_ inputs: [String: TensorData]) throws -> [String: TensorData]
}

extension Artifact {
    /// The choices that a runner for this artifact offers.
    public var computeUnits: [ComputeUnits] { manifest.target == "coreml" ? ComputeUnits.allCases : [.all] }

    /// Load the model file. Throws: MobileKitError where it is missing, broken, or for another platform.
    public func load(_ units: ComputeUnits = .all) throws -> any ModelRunner {
        #if canImport(CoreML)
        if manifest.target == "coreml" { return try CoreMLRunner(self, units: units) }
        #endif
        #if canImport(ExecuTorch) && !(targetEnvironment(simulator) && arch(x86_64))
        if manifest.target == "executorch" { return try ExecuTorchRunner(self) }
        #endif
        throw MobileKitError(
            "\(title): this app can't run a file for \(manifest.target). Bundle one for Core ML or ExecuTorch.")
    }

    /// The golden inputs by name, as they enter the file, but for the first ones. Throws: MobileKitError.
    public func goldenInputs(from first: Int = 0) throws -> [String: TensorData] {
        try Dictionary(manifest.inputs.dropFirst(first).map { ($0.name, try golden($0)) }) { first, _ in first }
    }

    /// A photo, upright, as the file's inputs; further inputs get their golden values.
    public func inputs(for photo: PixelImage) throws -> [String: TensorData] {
        var inputs = try goldenInputs(from: 1)
        inputs[manifest.inputs[0].name] = try Preprocessor(manifest.preprocess).input(photo, for: manifest.inputs[0])
        return inputs
    }

    /// All inputs in the file's order. Throws: MobileKitError where one is missing.
    func ordered(_ inputs: [String: TensorData]) throws -> [(Manifest.Tensor, TensorData)] {
        try manifest.inputs.map { input in
            if let values = inputs[input.name] { return (input, values) }
            throw MobileKitError("\(title): input \(input.name) is missing. Give it a value.")
        }
    }

    /// All outputs by name. Throws: MobileKitError where one is missing, or of another shape or type.
    /// found: an output's values, by its place in the file and its record.
    func checked(_ found: (Int, Manifest.Tensor) -> TensorData?) throws -> [String: TensorData] {
        var outputs: [String: TensorData] = [:]
        for (place, output) in manifest.outputs.enumerated() {
            guard let values = found(place, output)
            else { throw MobileKitError("\(title): \(output.name) isn't \(output.shape). Export the model again.") }
            outputs[output.name] = values
        }
        return outputs
    }
}
