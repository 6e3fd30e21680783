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
