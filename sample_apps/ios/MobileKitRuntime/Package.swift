// swift-tools-version: 6.0
import PackageDescription

// ExecuTorch's libraries are a large download, which an app without a .pte file does without. An app with one links
// with -all_load ("Other Linker Flags"), as backends and kernels register themselves, and nothing calls them by name.
let usesExecuTorch = true
let execuTorch = "swiftpm-1.4.1"
let products = ["executorch", "backend_coreml", "backend_xnnpack", "kernels_optimized", "kernels_quantized"]

let package = Package(
    name: "MobileKitRuntime",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "MobileKitRuntime", targets: ["MobileKitRuntime"])],
    dependencies: usesExecuTorch
        ? [.package(url: "https://github.com/pytorch/executorch.git", branch: execuTorch)] : [],
    targets: [
        .target(
            name: "MobileKitRuntime",
            dependencies: usesExecuTorch ? products.map { .product(name: $0, package: "executorch") } : [])
    ],
    swiftLanguageModes: [.v6])
