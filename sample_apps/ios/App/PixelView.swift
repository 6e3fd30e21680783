import MobileKitRuntime
import SwiftUI

/// Pixels as large as the screen is wide.
struct PixelView: View {
    /// Nothing is shown where it is nil.
    let picture: CGImage?
    /// Pixels keep their edges, as of a map of classes.
    var isSharp = false

    var body: some View {
        if let picture {
            Image(decorative: picture, scale: 1)
                .interpolation(isSharp ? .none : .medium)
                .resizable()
                .scaledToFit()
        }
    }
}

extension PixelImage {
    /// A copy for the screen; nil where there is no memory for it.
    var picture: CGImage? {
        guard let provider = CGDataProvider(data: Data(bytes) as CFData),
            let space = CGColorSpace(name: CGColorSpace.sRGB)
        else { return nil }
        // A fourth byte of no meaning ends each pixel; where blue is first, the four are one little-endian number.
        let order: CGBitmapInfo = blueFirst ? .byteOrder32Little : .byteOrder32Big
        let alpha: CGImageAlphaInfo = blueFirst ? .noneSkipFirst : .noneSkipLast
        return CGImage(
            width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: width * 4, space: space,
            bitmapInfo: order.union(CGBitmapInfo(rawValue: alpha.rawValue)), provider: provider, decode: nil,
            shouldInterpolate: true, intent: .defaultIntent)
    }
}
