// What the runtime uses of Apple's Core ML, as its interface declares it.
@_exported import CoreVideo
import Foundation

public enum MLComputeUnits: Int, Sendable { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }
public enum MLFeatureType: Int, Sendable { case invalid, int64, double, string, image, multiArray, dictionary }
public enum MLMultiArrayDataType: Int, Sendable { case double, float32, float16, int32 }

public final class MLModelConfiguration {
    public init() {}
    public var computeUnits = MLComputeUnits.all
}

public final class MLMultiArray {
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {}
    public func withUnsafeMutableBytes<R>(
        _ body: (UnsafeMutableRawBufferPointer, [Int]) throws -> R
    ) rethrows -> R { try body(UnsafeMutableRawBufferPointer(start: nil, count: 0), []) }
}

public struct MLShapedArray<Scalar> {
    public init(converting array: MLMultiArray) { scalars = [] }
    public var scalars: [Scalar]
}

public final class MLFeatureValue {
    public init(pixelBuffer: CVPixelBuffer) {}
    public init(multiArray: MLMultiArray) {}
    public var type: MLFeatureType { .invalid }
    public var dictionaryValue: [AnyHashable: NSNumber] { [:] }
    public var multiArrayValue: MLMultiArray? { nil }
}

public protocol MLFeatureProvider {
    func featureValue(for name: String) -> MLFeatureValue?
}

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    public init(dictionary: [String: Any]) throws {}
    public func featureValue(for name: String) -> MLFeatureValue? { nil }
}

public class MLModel {
    public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {}
    public class func compileModel(at url: URL) throws -> URL { url }
    public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { input }
}
