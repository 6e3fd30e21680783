// What the runtime uses of Apple's CryptoKit: SHA-256 (FIPS 180-4), so that what is built here computes it too.
import Foundation

public enum SHA256 {
    public static func hash(data: Data) -> [UInt8] {
        var state = primes(8).map { fraction(Double($0).squareRoot()) }
        let constants = primes(64).map { fraction(cbrt(Double($0))) }
        var message = [UInt8](data) + [0x80]
        while message.count % 64 != 56 { message.append(0) }
        message += withUnsafeBytes(of: UInt64(data.count * 8).bigEndian) { [UInt8]($0) }
        for start in stride(from: 0, to: message.count, by: 64) {
            let words = scheduled(Array(message[start..<start + 64]))
            var part = state
            for (word, constant) in zip(words, constants) { part = mixed(part, word &+ constant) }
            state = zip(state, part).map { $0 &+ $1 }
        }
        return state.flatMap { word in withUnsafeBytes(of: word.bigEndian) { [UInt8]($0) } }
    }
}

private func primes(_ count: Int) -> [Int] {
    var found: [Int] = []
    var next = 2
    while found.count < count {
        if found.allSatisfy({ next % $0 != 0 }) { found.append(next) }
        next += 1
    }
    return found
}

/// The first 32 bits behind the point.
private func fraction(_ value: Double) -> UInt32 { UInt32((value - value.rounded(.down)) * 4_294_967_296) }

private func turned(_ word: UInt32, _ bits: UInt32) -> UInt32 { word >> bits | word << (32 - bits) }

private func scheduled(_ block: [UInt8]) -> [UInt32] {
    var words = (0..<16).map { place in block[4 * place..<4 * place + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    for place in 16..<64 {
        let (old, new) = (words[place - 15], words[place - 2])
        let small = turned(old, 7) ^ turned(old, 18) ^ old >> 3
        let large = turned(new, 17) ^ turned(new, 19) ^ new >> 10
        words.append(words[place - 16] &+ small &+ words[place - 7] &+ large)
    }
    return words
}

private func mixed(_ s: [UInt32], _ word: UInt32) -> [UInt32] {
    let high = turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)
    let chosen = s[4] & s[5] ^ ~s[4] & s[6]
    let first = s[7] &+ high &+ chosen &+ word
    let low = turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)
    let second = low &+ (s[0] & s[1] ^ s[0] & s[2] ^ s[1] & s[2])
    return [first &+ second, s[0], s[1], s[2], s[3] &+ first, s[4], s[5], s[6]]
}
