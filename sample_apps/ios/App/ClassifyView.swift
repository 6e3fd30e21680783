import MobileKitRuntime
import SwiftUI

/// A regression's values.
struct ValuesView: View {
    let values: [Ranked]

    var body: some View {
        Section("Values") {
            ForEach(values, id: \.index) { each in
                LabeledContent(each.label, value: each.score.formatted(.number.precision(.significantDigits(4))))
            }
        }
    }
}

/// The best classes, each with a bar as long as its probability.
struct ClassifyView: View {
    let classes: [Ranked]

    var body: some View {
        Section("Classes") {
            ForEach(classes, id: \.index) { each in
                VStack(alignment: .leading) {
                    LabeledContent(each.label, value: each.score.formatted(.percent.precision(.fractionLength(1))))
                    ProgressView(value: min(max(each.score, 0), 1))
                }
                .accessibilityElement(children: .combine)
            }
        }
    }
}
