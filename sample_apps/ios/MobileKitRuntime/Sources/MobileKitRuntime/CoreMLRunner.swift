#if canImport(CoreML)
import CoreML
import Foundation

/// Runs a Core ML model that Xcode compiled into the app. A package, in the artifact or in the folder `CoreML` beside
/// the artifacts' own, is compiled at each load.
public final class CoreMLRunner: ModelRunner {
    public let name: String
    private let artifact: Artifact
    private let model: MLModel
    /// What was compiled here, nil where Xcode did it.
    private let compiledHere: URL?

    /// Throws: MobileKitError where the file is missing or broken.
    public init(_ artifact: Artifact, units: ComputeUnits) throws {
        self.artifact = artifact
        name = "Core ML \(units.rawValue)"
        let configuration = MLModelConfiguration()
        let known: [ComputeUnits: MLComputeUnits] = [
            .cpuAndNeuralEngine: .cpuAndNeuralEngine, .cpuAndGPU: .cpuAndGPU, .cpuOnly: .cpuOnly,
        ]
        configuration.computeUnits = known[units] ?? .all
        // Xcode puts what it compiles beside an app's resources, named as the package: as the artifact's folder.
        let compiled = Bundle.main.url(forResource: artifact.folder.lastPathComponent, withExtension: "mlmodelc")
        (model, compiledHere) = try asking("\(artifact.title): Core ML can't load it", or: "Bundle the model again.") {
            let file = try compiled ?? MLModel.compileModel(at: artifact.modelOnDisk())
            let model = try MLModel(contentsOf: file, configuration: configuration)
            return (model, compiled == nil ? file : nil)
        }
    }

    /// The model reads its file as long as it lives.
    deinit { if let compiledHere { try? FileManager.default.removeItem(at: compiledHere) } }

    public func run(_ inputs: [String: TensorData]) throws -> [String: TensorData] {
        let features = try Dictionary(artifact.ordered(inputs).map { ($0.name, try feature($1, for: $0)) }) { $1 }
        let found = try asking("\(artifact.title): Core ML can't run it", or: "Choose other compute units.") {
            try model.prediction(from: MLDictionaryFeatureProvider(dictionary: features))
        }
        return try artifact.checked { _, output in
            found.featureValue(for: output.name).flatMap { values(of: $0, for: output) }
        }
    }

    private func feature(_ values: TensorData, for input: Manifest.Tensor) throws -> MLFeatureValue {
        if input.color != nil { return MLFeatureValue(pixelBuffer: try pixelBuffer(values)) }
        let (numbers, shape) = (values.doubles, values.shape)
        return values.kind == .int32
            ? MLFeatureValue(shapedArray: MLShapedArray<Int32>(scalars: numbers.map { Int32($0) }, shape: shape))
            : MLFeatureValue(shapedArray: MLShapedArray<Float>(scalars: numbers.map { Float($0) }, shape: shape))
    }

    /// A classifier's probabilities come by label: they are put into the order of labels.txt.
    private func values(of value: MLFeatureValue, for output: Manifest.Tensor) -> TensorData? {
        if value.type == .dictionary {
            let found = value.dictionaryValue
            return TensorData(shape: output.shape, floats: artifact.labels.compactMap { found[$0]?.floatValue })
        }
        guard let array = value.multiArrayValue else { return nil }
        guard output.dtype == .int32 else {
            return TensorData(shape: output.shape, floats: MLShapedArray<Float>(converting: array).scalars)
        }
        let numbers = MLShapedArray<Int32>(converting: array).scalars
        return TensorData(kind: .int32, shape: output.shape, bytes: numbers.withUnsafeBytes { [UInt8]($0) })
    }
}
#endif
