import MobileKitRuntime
import SwiftUI

/// The classes' colours over what the network saw, and whose they are.
struct SegmentView: View {
    let seen: PixelImage?
    let map: ClassMap
    let shares: [Ranked]
    @State private var opacity = 0.5

    var body: some View {
        Section {
            ZStack {
                PixelView(picture: seen?.picture)
                PixelView(picture: try? PostProcessor.overlay(map).picture, isSharp: true).opacity(opacity)
            }
            Slider(value: $opacity) { Text("Overlay") }
        }
        Section("Classes") {
            ForEach(shares, id: \.index) { each in
                LabeledContent {
                    Text(each.score.formatted(.percent.precision(.fractionLength(1))))
                } label: {
                    Label {
                        Text(each.label)
                    } icon: {
                        Image(systemName: "square.fill")
                            .foregroundStyle(color(each.index))
                            // Black shows in dark mode too.
                            .overlay { Image(systemName: "square").foregroundStyle(.secondary) }
                    }
                }
            }
        }
    }

    private func color(_ index: Int) -> Color {
        let parts = PostProcessor.color(index).prefix(3).map { Double($0) / 255 }
        return parts.count == 3 ? Color(red: parts[0], green: parts[1], blue: parts[2]) : .clear
    }
}
