#if canImport(CoreVideo)
import CoreVideo

/// Bytes (1, h, w, 3) or (1, h, w, 1) as what Core ML takes: 32BGRA, or one component.
/// Throws: MobileKitError where there is no room for it.
func pixelBuffer(_ values: TensorData) throws -> CVPixelBuffer {
    guard values.shape.count == 4, values.kind == .uint8, [1, 3].contains(values.shape[3])
    else { throw MobileKitError("An image of \(values.shape): isn't (1, h, w, C) bytes. Export the model again.") }
    let (height, width, channels) = (values.shape[1], values.shape[2], values.shape[3])
    var made: CVPixelBuffer?
    let format = channels == 1 ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
    guard CVPixelBufferCreate(nil, width, height, format, nil, &made) == kCVReturnSuccess, let buffer = made,
        CVPixelBufferLockBaseAddress(buffer, []) == kCVReturnSuccess,
        let target = CVPixelBufferGetBaseAddress(buffer)
    else { throw MobileKitError("No memory for an image of \(width)x\(height). Close other apps.") }
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    let pitch = CVPixelBufferGetBytesPerRow(buffer)
    values.bytes.withUnsafeBytes { source in
        for pixel in 0..<height * width {
            let (line, from) = (target + pixel / width * pitch, pixel * channels)
            guard channels == 3 else { (line + pixel % width).storeBytes(of: source[from], as: UInt8.self); continue }
            let colors = SIMD4(source[from + 2], source[from + 1], source[from], 255)
            line.storeBytes(of: colors, toByteOffset: pixel % width * 4, as: SIMD4<UInt8>.self)
        }
    }
    return buffer
}

extension PixelImage {
    /// Copy a camera's frame, which is upright. Throws: MobileKitError for other than 32BGRA.
    public init(_ buffer: CVPixelBuffer) throws {
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        guard CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA,
            let source = CVPixelBufferGetBaseAddress(buffer)
        else { throw MobileKitError("The camera's frames aren't 32BGRA. Ask it for that format.") }
        let (height, width) = (CVPixelBufferGetHeight(buffer), CVPixelBufferGetWidth(buffer))
        let pitch = CVPixelBufferGetBytesPerRow(buffer)
        let bytes = (0..<height).flatMap { UnsafeRawBufferPointer(start: source + $0 * pitch, count: width * 4) }
        try self.init(height: height, width: width, blueFirst: true, bytes: bytes)
    }
}
#endif
