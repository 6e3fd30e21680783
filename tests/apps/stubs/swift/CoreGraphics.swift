// What the runtime uses of Apple's Core Graphics, as its interface declares it.
@_exported import Foundation

public typealias CFData = Data
public typealias CFDictionary = AnyObject
public typealias CFString = String

public enum CGColorSpaceModel: Int32, Sendable { case unknown = -1, monochrome, rgb, cmyk }
public enum CGImageAlphaInfo: UInt32, Sendable { case none, premultipliedLast, noneSkipLast = 5 }

public final class CGColorSpace {
    public init?(name: CFString) {}
    public var model: CGColorSpaceModel { .unknown }
    public var supportsOutput: Bool { false }
    public static let sRGB: CFString = ""
}

public final class CGImage {
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
