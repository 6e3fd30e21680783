// What the runtime uses of ExecuTorch 1.x, as its interface declares it.
import Foundation

public enum DataType: Int8, Sendable {
    case byte, char, short, int, long, half, float, double, bool = 11, undefined = 45
}
public enum ShapeDynamism: Int, Sendable { case `static`, dynamicBound, dynamicUnbound }

public protocol ValueConvertible {
    func asValue() -> Value
}

public final class AnyTensor: ValueConvertible {
    public init(
        data: Data, shape: [Int], strides: [Int] = [], dimensionOrder: [Int] = [], dataType: DataType,
        shapeDynamism: ShapeDynamism = .dynamicBound) {}
    public func bytes(_ handler: (UnsafeRawPointer, Int, DataType) -> Void) {}
    public func asValue() -> Value { Value() }
}

public final class Value: ValueConvertible {
    public var anyTensor: AnyTensor? { nil }
    public func asValue() -> Value { self }
}

public final class Module {
    public init(filePath: String) {}
    public func load(_ method: String) throws {}
    public func forward(_ inputs: [any ValueConvertible]) throws -> [Value] { [] }
}
