/// From an upright photo to what enters the file, as the manifest's `preprocess` says.
public struct Preprocessor: Sendable {
    private let work: Manifest.Preprocess
    private let filter: Filter

    /// Throws: MobileKitError for a rounding that isn't known here, or a filter, where there is a resize.
    public init(_ work: Manifest.Preprocess) throws {
        let filter = work.resize == nil ? .bilinear : Filter(rawValue: work.resample)
        guard let filter, work.rounding == "truncate"
        else { throw MobileKitError("Resizing with \(work.resample): isn't known here. Use another checkpoint.") }
        (self.work, self.filter) = (work, filter)
    }

    /// Resize and crop around the centre, black where the photo is too small.
    /// Throws: MobileKitError where the photo is so narrow that it would become absurdly long.
    public func geometry(_ photo: PixelImage) throws -> PixelImage {
        let photo = work.channelOrder == "GRAY" ? try photo.gray() : photo
        let resized = try resizedSize(height: photo.height, width: photo.width)
        let rows = Window(length: resized.height, wanted: work.crop?.first)
        let columns = Window(length: resized.width, wanted: work.crop?.last)
        guard rows.wanted > 0, columns.wanted > 0, rows.wanted <= PixelImage.mostPixels / columns.wanted
        else { throw broken }
        let down = Taps<SIMD4<UInt8>>(filter: filter, from: photo.height, to: rows.length, kept: rows.kept)
        let along = Taps<SIMD4<UInt8>>(filter: filter, from: photo.width, to: columns.length, kept: columns.kept)
        let bytes = photo.bytes.withUnsafeBytes { resampled($0, width: photo.width, rows: down, columns: along) }
        let result = padded(bytes, rows, columns)
        return try PixelImage(
            height: rows.wanted, width: columns.wanted, blueFirst: photo.blueFirst, bytes: result)
    }

    /// What enters the file's image input: bytes (1, h, w, C), or pixel_values (1, C, h, w) where the file leaves the
    /// arithmetic to the app. Throws: MobileKitError as `geometry`, and where the input isn't of that shape.
    public func input(_ photo: PixelImage, for input: Manifest.Tensor) throws -> TensorData {
        let image = try geometry(photo)
        let pixels = image.packed(channels: work.mean.count)
        let tensor = work.inGraph
            ? TensorData(kind: .uint8, shape: input.shape, bytes: pixels)
            : TensorData(shape: input.shape, floats: try planes(pixels))
        guard let tensor, tensor.kind == input.dtype else {
            let size = "\(image.height)x\(image.width)"
            throw MobileKitError("Input \(input.name): \(size) isn't \(input.shape). Export the model again.")
        }
        return tensor
    }

    /// The grey levels, 0...255, of what enters the file's image input.
    func greyLevels(_ input: TensorData) -> [Double] {
        let (values, channels) = (input.doubles, work.mean.count)
        guard !work.inGraph else { return values }
        return values.indices.map { place in
            let channel = place * channels / values.count
            return (values[place] * work.std[channel] + work.mean[channel]) / work.scale
        }
    }

    private var broken: MobileKitError {
        MobileKitError("The manifest's preprocess: isn't a resize and crop to a size. Export the model again.")
    }

    /// The size before the crop; the longer side is truncated as Hugging Face's processors do it.
    private func resizedSize(height: Int, width: Int) throws -> (height: Int, width: Int) {
        guard let resize = work.resize else { return (height, width) }
        if let height = resize.height, let width = resize.width, height > 0, width > 0 { return (height, width) }
        guard let short = resize.shortestEdge, short > 0 else { throw broken }
        let long = Int(Double(short * max(height, width)) / Double(min(height, width)))
        guard short <= PixelImage.mostPixels / long
        else { throw MobileKitError("A photo of \(width)x\(height) is too narrow for this model. Crop it first.") }
        return width <= height ? (long, short) : (short, long)
    }

    private func padded(_ bytes: [UInt8], _ rows: Window, _ columns: Window) -> [UInt8] {
        let step = PixelImage.step
        guard rows.kept.count < rows.wanted || columns.kept.count < columns.wanted else { return bytes }
        var canvas = [UInt8](repeating: 0, count: rows.wanted * columns.wanted * step)
        let pitch = columns.kept.count * step
        for row in 0..<rows.kept.count {
            let place = ((rows.before + row) * columns.wanted + columns.before) * step
            canvas.replaceSubrange(place..<place + pitch, with: bytes[row * pitch..<(row + 1) * pitch])
        }
        return canvas
    }

    /// (1, C, h, w) of (h, w, C) bytes, looked up: a channel has 256 values.
    private func planes(_ pixels: [UInt8]) throws -> [Float] {
        let channels = work.mean.count
        guard channels > 0, work.std.count == channels, pixels.count % channels == 0 else { throw broken }
        let plane = pixels.count / channels
        var values = [Float](repeating: 0, count: pixels.count)
        for channel in 0..<channels {
            let table = (0..<256).map { Float((Double($0) * work.scale - work.mean[channel]) / work.std[channel]) }
            let source = work.channelOrder == "BGR" ? channels - 1 - channel : channel
            for place in 0..<plane { values[channel * plane + place] = table[Int(pixels[place * channels + source])] }
        }
        return values
    }
}

/// A crop around the centre of one axis, rounded as Hugging Face's `center_crop` rounds.
private struct Window {
    /// Of the resized axis, and of the result.
    let length, wanted: Int
    /// The part of the resized axis that is in the result, behind `before` black pixels.
    let kept: Range<Int>
    let before: Int

    init(length: Int, wanted: Int?) {
        let wanted = wanted ?? length
        (self.length, self.wanted) = (length, wanted)
        before = max(wanted - length + 1, 0) / 2
        let start = max(length - wanted, 0) / 2
        kept = start..<start + min(length, wanted)
    }
}
