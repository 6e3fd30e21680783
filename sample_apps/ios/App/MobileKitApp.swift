import SwiftUI

@main
struct MobileKitApp: App {
    @State private var store = ModelStore(folder: Bundle.main.resourceURL?.appending(path: "Models"))

    var body: some Scene {
        WindowGroup { RootView(store: store).environment(store) }
    }
}

/// The screens. The first launch, and the first after an update, begins with the self-test.
struct RootView: View {
    private enum Screen { case photo, selfTest, benchmark }

    private let store: ModelStore
    @State private var screen: Screen
    @State private var selfTest = SelfTest()
    @State private var measurements = Measurements()

    init(store: ModelStore) {
        self.store = store
        // No other screen loads a model before its first load is timed.
        _screen = State(initialValue: store.wasTested ? .photo : .selfTest)
    }

    var body: some View {
        TabView(selection: $screen) {
            PhotoView()
                .tabItem { Label("Photo", systemImage: "photo") }
                .tag(Screen.photo)
            SelfTestView(selfTest: selfTest)
                .tabItem { Label("Self-test", systemImage: "checkmark.seal") }
                .tag(Screen.selfTest)
            BenchmarkView(measurements: measurements)
                .tabItem { Label("Benchmark", systemImage: "stopwatch") }
                .tag(Screen.benchmark)
        }
        .task {
            guard !store.wasTested else { return }
            await selfTest.run(store)
            store.wasTested = true
        }
        .onReceive(NotificationCenter.default.publisher(for: UIApplication.didReceiveMemoryWarningNotification)) { _ in
            Task { await store.freeMemory() }
        }
    }
}
