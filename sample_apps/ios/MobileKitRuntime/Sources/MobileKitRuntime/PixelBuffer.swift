#if canImport(CoreVideo)
import CoreVideo

/// Bytes (1, h, w, 3) or (1, h, w, 1) as what Core ML takes: 32BGRA, or one component.
/// Throws: MobileKitError.memory where there is no room for it.
func pixelBuffer(_ values: TensorData) throws -> CVPixelBuffer {
    guard values.shape.count == 4, values.kind == .uint8, [1, 3].contains(values.shape[3]) else {
        throw MobileKitError.model("An image of \(values.shape): isn't (1, h, w, C) bytes. Export the model again.")
    }
    let (height, width, channels) = (values.shape[1], values.shape[2], values.shape[3])
    var made: CVPixelBuffer?
    let format = channels == 1 ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
    guard CVPixelBufferCreate(nil, width, height, format, nil, &made) == kCVReturnSuccess, let buffer = made,
        CVPixelBufferLockBaseAddress(buffer, []) == kCVReturnSuccess,
        let target = CVPixelBufferGetBaseAddress(buffer)
    else { throw MobileKitError.memory("No memory for an image of \(width)x\(height). Close other apps.") }
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    let pitch = CVPixelBufferGetBytesPerRow(buffer)
    values.bytes.withUnsafeBytes { source in
        for row in 0..<height {
            let line = UnsafeMutableRawBufferPointer(start: target + row * pitch, count: pitch)
            for column in 0..<width {
                let place = (row * width + column) * channels
                guard channels == 3 else { line[column] = source[place]; continue }
                let pixel = SIMD4(source[place + 2], source[place + 1], source[place], 255)
                line.storeBytes(of: pixel, toByteOffset: column * 4, as: SIMD4<UInt8>.self)
            }
        }
    }
    return buffer
}

extension PixelImage {
    /// Copy a camera's frame. orientation: as EXIF counts it. Throws: MobileKitError.image for other than 32BGRA.
    public init(_ buffer: CVPixelBuffer, orientation: Int = 1) throws {
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        guard CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA,
            let source = CVPixelBufferGetBaseAddress(buffer)
        else { throw MobileKitError.image("The camera's frames aren't 32BGRA. Ask it for that format.") }
        let (height, width) = (CVPixelBufferGetHeight(buffer), CVPixelBufferGetWidth(buffer))
        let pitch = CVPixelBufferGetBytesPerRow(buffer)
        let bytes = (0..<height).flatMap { UnsafeRawBufferPointer(start: source + $0 * pitch, count: width * 4) }
        let frame = try PixelImage(height: height, width: width, blueFirst: true, bytes: bytes)
        self = try frame.upright(orientation: orientation)
    }
}
#endif
