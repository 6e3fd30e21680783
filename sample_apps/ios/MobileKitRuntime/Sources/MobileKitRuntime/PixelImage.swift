/// Decoded pixels, row by row without gaps: three colours, each a byte, and a fourth byte that means nothing.
public struct PixelImage: Equatable, Sendable {
    /// Half a gigabyte: larger photos are refused, as the kit refuses them.
    public static let mostPixels = 178_000_000
    static let step = 4

    public let height, width: Int
    /// Whether blue comes first, as in a camera's frames.
    public let blueFirst: Bool
    public let bytes: [UInt8]

    /// Throws: MobileKitError where the bytes aren't those of such an image, or too many.
    public init(height: Int, width: Int, blueFirst: Bool = false, bytes: [UInt8]) throws {
        guard height > 0, width > 0, height <= Self.mostPixels / width, bytes.count == height * width * Self.step
        else { throw MobileKitError("A photo of \(width)x\(height) can't be used. Choose another.") }
        (self.height, self.width, self.blueFirst, self.bytes) = (height, width, blueFirst, bytes)
    }

    /// The same picture the right way up. orientation: as EXIF counts it, 1 to 8; others mean that it is upright.
    public func upright(orientation: Int) throws -> PixelImage {
        guard (2...8).contains(orientation) else { return self }
        let mirrorsRows = [3, 4, 6, 7].contains(orientation)
        let mirrorsColumns = [2, 3, 7, 8].contains(orientation)
        // Where the result's first pixel comes from, and how far on its neighbours are; from 5 on, rows were columns.
        let first = (mirrorsRows ? (height - 1) * width : 0) + (mirrorsColumns ? width - 1 : 0)
        let (down, right) = (mirrorsRows ? -width : width, mirrorsColumns ? -1 : 1)
        let turned = orientation > 4
        let (rows, columns) = turned ? (width, height) : (height, width)
        let moved = gathered(
            rows, columns, first: first, rowStep: turned ? right : down, columnStep: turned ? down : right)
        return try PixelImage(height: rows, width: columns, blueFirst: blueFirst, bytes: moved)
    }

    /// Copy pixels in strips, so that a turned photo's columns are read from the cache.
    private func gathered(_ rows: Int, _ columns: Int, first: Int, rowStep: Int, columnStep: Int) -> [UInt8] {
        let strip = 32
        return [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, count in
            let target = UnsafeMutableRawBufferPointer(buffer)
            bytes.withUnsafeBytes { source in
                for left in stride(from: 0, to: columns, by: strip) {
                    for row in 0..<rows {
                        for column in left..<min(left + strip, columns) {
                            let from = (first + row * rowStep + column * columnStep) * Self.step
                            let pixel = source.loadUnaligned(fromByteOffset: from, as: UInt32.self)
                            target.storeBytes(
                                of: pixel, toByteOffset: (row * columns + column) * Self.step, as: UInt32.self)
                        }
                    }
                }
            }
            count = bytes.count
        }
    }

    /// The same picture with red and blue swapped.
    func swapped() throws -> PixelImage {
        try PixelImage(height: height, width: width, blueFirst: !blueFirst, bytes: bytes)
    }

    /// The brightness of colours (ITU-R 601) as Pillow computes it, in each of them.
    public func gray() throws -> PixelImage {
        let (red, blue) = blueFirst ? (2, 0) : (0, 2)
        let values = stride(from: 0, to: bytes.count, by: Self.step).map { place in
            let sum = 19595 * UInt32(bytes[place + red]) + 38470 * UInt32(bytes[place + 1])
            return UInt8((sum + 7471 * UInt32(bytes[place + blue]) + 0x8000) >> 16)
        }
        return try PixelImage(height: height, width: width, bytes: Self.spread(values))
    }

    /// Each value four times.
    static func spread(_ values: [UInt8]) -> [UInt8] {
        values.map { UInt32($0) * 0x0101_0101 }.withUnsafeBytes { [UInt8]($0) }
    }

    /// Red, green and blue, or the first colour alone, without gaps. channels: 3 or 1.
    public func packed(channels: Int) -> [UInt8] {
        let places = channels == 1 ? [0] : blueFirst ? [2, 1, 0] : [0, 1, 2]
        var result = [UInt8]()
        result.reserveCapacity(height * width * channels)
        for pixel in stride(from: 0, to: bytes.count, by: Self.step) {
            for place in places { result.append(bytes[pixel + place]) }
        }
        return result
    }
}
