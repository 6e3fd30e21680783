#if canImport(ImageIO)
import CoreGraphics
import Foundation
import ImageIO
#if os(iOS)
import os
#endif

extension PixelImage {
    /// Decode a photo, upright, its transparent parts over white. Its numbers are those of the file, as checkpoints'
    /// processors convert no colours either; a photo that is neither RGB nor gray becomes sRGB.
    /// Throws: MobileKitError where it can't be decoded, or is too large.
    public init(decoding data: Data) throws {
        let undecodable = MobileKitError("The photo can't be decoded. Choose a JPEG, PNG or HEIC.")
        guard let source = CGImageSourceCreateWithData(data as CFData, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else { throw undecodable }
        let (height, width) = (image.height, image.width)
        // It is there thrice for a moment: decoded, copied and turned.
        guard height * width <= Self.mostPixels, hasRoom(for: 3 * height * width * Self.step)
        else { throw MobileKitError("A photo of \(width)x\(height) is too large. Choose a smaller one.") }
        let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
        let orientation = properties?[kCGImagePropertyOrientation] as? Int ?? 1
        let (own, sRGB) = (image.colorSpace, CGColorSpace(name: CGColorSpace.sRGB))
        let numbers = own?.model == .rgb || own?.model == .monochrome ? drawn(image, in: own) : nil
        guard let bytes = numbers ?? drawn(image, in: sRGB) else { throw undecodable }
        self = try PixelImage(height: height, width: width, bytes: bytes).upright(orientation: orientation)
    }
}

extension Artifact {
    /// golden/photo.png. Throws: MobileKitError where it can't be decoded.
    public func goldenPhoto() throws -> PixelImage {
        try PixelImage(decoding: (try? Data(contentsOf: folder.appending(path: "golden/photo.png"))) ?? Data())
    }
}

/// An image's numbers in a space, over white, four bytes a pixel; nil where that space has none of 8 bits. Gray is
/// drawn as gray: in colours its values would become others, as the curves of the spaces differ.
private func drawn(_ image: CGImage, in space: CGColorSpace?) -> [UInt8]? {
    guard let space, space.supportsOutput else { return nil }
    let (step, alpha) = space.model == .monochrome ? (1, CGImageAlphaInfo.none) : (PixelImage.step, .noneSkipLast)
    var bytes = [UInt8](repeating: 255, count: image.height * image.width * step)
    let isDrawn = bytes.withUnsafeMutableBytes { target in
        let context = CGContext(
            data: target.baseAddress, width: image.width, height: image.height, bitsPerComponent: 8,
            bytesPerRow: image.width * step, space: space, bitmapInfo: alpha.rawValue)
        context?.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
        return context != nil
    }
    return isDrawn ? step == 1 ? PixelImage.spread(bytes) : bytes : nil
}

/// Whether iOS lets the app have more bytes. A simulator knows no bound, and answers 0.
private func hasRoom(for bytes: Int) -> Bool {
    #if os(iOS)
    let free = os_proc_available_memory()
    guard free == 0 || free > bytes else { return false }
    #endif
    return true
}
#endif
