import CoreGraphics
import Foundation
import MobileKitRuntime

extension PixelImage {
    /// Pixels of a side that a screen can show; a photo's own would be as large in memory again.
    private static let mostShown = 2048

    /// A copy for the screen, of every nth pixel where there are too many; nil where there is no memory for it.
    var picture: CGImage? {
        let step = (max(height, width) - 1) / Self.mostShown + 1
        let (rows, columns) = ((height - 1) / step + 1, (width - 1) / step + 1)
        guard let provider = CGDataProvider(data: Data(step == 1 ? bytes : every(step)) as CFData),
            let space = CGColorSpace(name: CGColorSpace.sRGB)
        else { return nil }
        // A fourth byte of no meaning ends each pixel; where blue is first, the four are one little-endian number.
        let order: CGBitmapInfo = blueFirst ? .byteOrder32Little : .byteOrder32Big
        let alpha: CGImageAlphaInfo = blueFirst ? .noneSkipFirst : .noneSkipLast
        return CGImage(
            width: columns, height: rows, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: columns * 4, space: space,
            bitmapInfo: order.union(CGBitmapInfo(rawValue: alpha.rawValue)), provider: provider, decode: nil,
            shouldInterpolate: true, intent: .defaultIntent)
    }

    private func every(_ step: Int) -> [UInt8] {
        bytes.withUnsafeBytes { source in
            let pixels = stride(from: 0, to: height, by: step).flatMap { row in
                stride(from: 0, to: width, by: step).map { column in
                    source.loadUnaligned(fromByteOffset: (row * width + column) * 4, as: UInt32.self)
                }
            }
            return pixels.withUnsafeBytes { [UInt8]($0) }
        }
    }
}
