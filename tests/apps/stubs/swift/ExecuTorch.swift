// What the runtime uses of ExecuTorch 1.x, as its interface declares it; with all of `forward`, which the type chooses.
import Foundation

public enum DataType: Int8, Sendable {
    case byte, char, short, int, long, half, float, double, bool = 11, undefined = 45
}
public enum ShapeDynamism: Int, Sendable { case `static`, dynamicBound, dynamicUnbound }

public protocol ValueConvertible {
    func asValue() -> Value
}
public protocol ValueConstructible {
    static func from(_ value: Value) throws -> Self
}
public protocol ValueSequenceConstructible {
    static func from(_ values: [Value]) throws -> Self
}
extension Array: ValueSequenceConstructible where Element: ValueConstructible {
    public static func from(_ values: [Value]) throws -> [Element] { try values.map { try Element.from($0) } }
}
extension AnyTensor: ValueConstructible {
    public static func from(_ value: Value) throws -> AnyTensor { AnyTensor(data: Data(), shape: [], dataType: .byte) }
}
extension Value: ValueConstructible {
    public static func from(_ value: Value) throws -> Value { value }
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
    public func forward(_ inputs: any ValueConvertible...) throws -> [Value] { [] }
    public func forward<Output: ValueSequenceConstructible>(_ inputs: [any ValueConvertible]) throws -> Output {
        try Output.from([])
    }
    public func forward<Output: ValueSequenceConstructible>(_ inputs: any ValueConvertible...) throws -> Output {
        try Output.from([])
    }
    public func forward<Output: ValueSequenceConstructible>(_ input: any ValueConvertible) throws -> Output {
        try Output.from([])
    }
}
