// What the runtime uses of Apple's Core Graphics, as its interface declares it.
@_exported import Foundation

public typealias CFData = Data
public typealias CFDictionary = AnyObject
public typealias CFString = String

public enum CGColorSpaceModel: Int32, Sendable { case unknown = -1, monochrome, rgb, cmyk }
public enum CGImageAlphaInfo: UInt32, Sendable { case none, noneSkipLast = 5, noneSkipFirst }
public enum CGColorRenderingIntent: Int32, Sendable { case defaultIntent }
public struct CGBitmapInfo: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let byteOrder32Little = CGBitmapInfo(rawValue: 2 << 12)
    public static let byteOrder32Big = CGBitmapInfo(rawValue: 4 << 12)
}

public final class CGColorSpace {
    public init?(name: CFString) {}
    public var model: CGColorSpaceModel { .unknown }
    public var supportsOutput: Bool { false }
    public static let sRGB: CFString = ""
}

public final class CGDataProvider {
    public init?(data: CFData) {}
}

public final class CGImage {
    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int, space: CGColorSpace,
        bitmapInfo: CGBitmapInfo, provider: CGDataProvider, decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool,
        intent: CGColorRenderingIntent) {}
    public var height: Int { 0 }
    public var width: Int { 0 }
    public var colorSpace: CGColorSpace? { nil }
}

public final class CGContext {
    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: UInt32) {}
    public func draw(_ image: CGImage, in rect: CGRect) {}
}
