import MobileKitRuntime
import SwiftUI

/// The outputs of a head that has no screen of its own: their shapes and Euclidean norms.
struct FeaturesView: View {
    let features: [Feature]

    var body: some View {
        Section("Outputs") {
            ForEach(features, id: \.name) { each in
                VStack(alignment: .leading) {
                    Text(each.name)
                    LabeledContent(
                        each.shape.map(String.init).joined(separator: " × "),
                        value: "norm \(each.norm.formatted(.number.precision(.significantDigits(5))))"
                    )
                    .foregroundStyle(.secondary)
                }
            }
        }
    }
}
