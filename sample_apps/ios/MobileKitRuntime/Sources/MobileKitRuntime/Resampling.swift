import Dispatch
import Foundation

/// Pillow's filters that checkpoints are trained with. Source of the numbers: Pillow's `Resample.c`.
enum Filter: String {
    case bilinear, bicubic

    var support: Double { self == .bilinear ? 1 : 2 }

    func weight(at distance: Double) -> Double {
        let x = abs(distance)
        switch self {
        case .bilinear: return max(1 - x, 0)
        case .bicubic:  // Keys' cubic convolution with a = -0.5
            if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
            return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
        }
    }
}

/// For each kept place of a resized axis, the places that it is made of and how much of each.
struct Taps<S: Sample>: Sendable {
    private(set) var starts: [Int] = []
    private(set) var counts: [Int] = []
    /// `reach` a place, of which the first `counts` are used; they sum to 1.
    private(set) var weights: [S.Weight] = []
    let reach: Int
    /// How many pixels of the axis go; fewer than none where it grows.
    let lost: Int

    /// from, to: lengths of the axis in pixels. kept: of the latter.
    init(filter: Filter, from: Int, to: Int, kept: Range<Int>) {
        lost = from - to
        let ratio = Double(from) / Double(to)
        // An enlarged axis is interpolated; a shrunk one is averaged over all that falls together.
        let spread = max(ratio, 1)
        let support = filter.support * spread
        reach = Int(support.rounded(.up)) * 2 + 1
        for place in kept {
            let center = (Double(place) + 0.5) * ratio
            let start = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), from)
            let parts = (start..<end).map { filter.weight(at: (Double($0) - center + 0.5) * (1 / spread)) }
            let sum = parts.reduce(0, +)
            starts.append(start)
            counts.append(parts.count)
            weights += (0..<reach).map { S.weight($0 < parts.count && sum != 0 ? parts[$0] / sum : 0) }
        }
    }

    /// The places that any kept place is made of.
    var span: Range<Int> { (starts.first ?? 0)..<((starts.last ?? 0) + (counts.last ?? 0)) }
}

/// A pixel, or a value of a plane, that can be mixed with its neighbours.
protocol Sample: BitwiseCopyable {
    associatedtype Weight: BitwiseCopyable & Sendable

    static func weight(_ value: Double) -> Weight

    /// Mix `count` samples, `stride` bytes apart.
    static func mixed(_ first: UnsafeRawPointer, stride: Int, weights: UnsafePointer<Weight>, count: Int) -> Self
}

/// Bits behind the point of 8-bit weights: those of a byte, and two for sums beyond it, leave 22 of 32.
private let precision: Int32 = 22

extension SIMD4<UInt8>: Sample {
    static func weight(_ value: Double) -> Int32 {
        Int32((value * Double(1 << precision)).rounded(.toNearestOrAwayFromZero))
    }

    @inline(__always)
    static func mixed(_ first: UnsafeRawPointer, stride: Int, weights: UnsafePointer<Int32>, count: Int) -> Self {
        var sum = SIMD4<Int32>(repeating: 1 << (precision - 1))
        var place = first
        for tap in 0..<count {
            let pixel = place.loadUnaligned(as: SIMD4<UInt8>.self)
            sum &+= SIMD4<Int32>(truncatingIfNeeded: pixel) &* weights[tap]
            place += stride
        }
        sum = (sum &>> precision).clamped(lowerBound: SIMD4<Int32>(), upperBound: SIMD4<Int32>(repeating: 255))
        return SIMD4<UInt8>(truncatingIfNeeded: sum)
    }
}

extension Float: Sample {
    static func weight(_ value: Double) -> Double { value }

    @inline(__always)
    static func mixed(_ first: UnsafeRawPointer, stride: Int, weights: UnsafePointer<Double>, count: Int) -> Float {
        var sum = 0.0
        for tap in 0..<count {
            sum += Double(first.loadUnaligned(fromByteOffset: tap * stride, as: Float.self)) * weights[tap]
        }
        return Float(sum)
    }
}

/// Resize rows of samples to the places that the taps keep, in Pillow's order, as it rounds and clips between: along
/// rows first, unless the height loses more than twice the pixels of the width (since Pillow 13).
func resampled<S: Sample>(
    _ source: UnsafeRawBufferPointer, width: Int, rows: Taps<S>, columns: Taps<S>
) -> [UInt8] {
    let size = MemoryLayout<S>.stride
    let (line, pitch) = (width * size, columns.starts.count * size)
    let (top, left) = (rows.span.lowerBound, columns.span.lowerBound)
    if rows.lost > 0, rows.lost > 2 * columns.lost {
        let wide = columns.span.count * size
        let short = rows.mixes(of: source, rows: rows.starts.count, pitch: wide, stride: line) { row, place in
            (tap: row, from: rows.starts[row] * line + (left + place) * size)
        }
        return short.withUnsafeBytes {
            columns.mixes(of: $0, rows: rows.starts.count, pitch: pitch, stride: size) { row, place in
                (tap: place, from: row * wide + (columns.starts[place] - left) * size)
            }
        }
    }
    let narrow = columns.mixes(of: source, rows: rows.span.count, pitch: pitch, stride: size) { row, place in
        (tap: place, from: (top + row) * line + columns.starts[place] * size)
    }
    return narrow.withUnsafeBytes {
        rows.mixes(of: $0, rows: rows.starts.count, pitch: pitch, stride: pitch) { row, place in
            (tap: row, from: (rows.starts[row] - top) * pitch + place * size)
        }
    }
}

private struct Shared<Value>: @unchecked Sendable { let value: Value }

extension Taps {
    /// Mix neighbours, on all cores. rows, pitch: of the result, the latter in bytes. stride: bytes between neighbours.
    /// mix: which of the taps makes a sample, and the byte where the first of its neighbours is.
    fileprivate func mixes(
        of source: UnsafeRawBufferPointer, rows: Int, pitch: Int, stride: Int,
        mix: @Sendable (_ row: Int, _ place: Int) -> (tap: Int, from: Int)
    ) -> [UInt8] {
        let size = MemoryLayout<S>.stride
        return [UInt8](unsafeUninitializedCapacity: rows * pitch) { buffer, count in
            weights.withUnsafeBufferPointer { weights in
                guard let pixels = source.baseAddress, let weight = weights.baseAddress,
                    let target = UnsafeMutableRawPointer(buffer.baseAddress)
                else { return }
                // Each call reads the same and writes rows of its own.
                let shared = Shared(value: (pixels: pixels, weight: weight, target: target))
                let parts = min(rows, ProcessInfo.processInfo.activeProcessorCount * 4)
                DispatchQueue.concurrentPerform(iterations: parts) { part in
                    let pointers = shared.value
                    for row in rows * part / parts..<rows * (part + 1) / parts {
                        for place in 0..<pitch / size {
                            let (tap, from) = mix(row, place)
                            let mixed = S.mixed(
                                pointers.pixels + from, stride: stride, weights: pointers.weight + tap * reach,
                                count: counts[tap])
                            pointers.target.storeBytes(of: mixed, toByteOffset: row * pitch + place * size, as: S.self)
                        }
                    }
                }
                count = rows * pitch
            }
        }
    }
}
