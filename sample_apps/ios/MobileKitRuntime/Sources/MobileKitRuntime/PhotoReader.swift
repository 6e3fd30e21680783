#if canImport(ImageIO)
import CoreGraphics
import Foundation
import ImageIO

extension PixelImage {
    /// Decode a photo, upright, its transparent parts over white, its numbers as they are in the file.
    /// Throws: MobileKitError.image where it can't be decoded; MobileKitError.memory where it is too large.
    public init(decoding data: Data) throws {
        let undecodable = MobileKitError.image("The photo can't be decoded. Choose a JPEG, PNG or HEIC.")
        guard let source = CGImageSourceCreateWithData(data as CFData, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else { throw undecodable }
        let (height, width) = (image.height, image.width)
        guard height * width <= Self.mostPixels else {
            throw MobileKitError.memory("A photo of \(width)x\(height) is too large. Choose a smaller one.")
        }
        // Another space would change the numbers that the checkpoint was trained with.
        let own = image.colorSpace.flatMap { $0.model == .rgb && $0.supportsOutput ? $0 : nil }
        var bytes = [UInt8](repeating: 255, count: height * width * 4)
        let drawn = bytes.withUnsafeMutableBytes { target in
            guard let space = own ?? CGColorSpace(name: CGColorSpace.sRGB),
                let context = CGContext(
                    data: target.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: width * 4, space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return false }
            context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
            return true
        }
        guard drawn else { throw undecodable }
        let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
        let orientation = properties?[kCGImagePropertyOrientation] as? Int ?? 1
        self = try PixelImage(height: height, width: width, bytes: bytes).upright(orientation: orientation)
    }
}

extension Artifact {
    /// golden/photo.png. Throws: MobileKitError where it can't be decoded.
    public func goldenPhoto() throws -> PixelImage {
        try PixelImage(decoding: (try? Data(contentsOf: folder.appending(path: "golden/photo.png"))) ?? Data())
    }
}
#endif
