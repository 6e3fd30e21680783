import Foundation
import MobileKitRuntime

/// bench.json in a file, and the figures of it that are shown.
struct BenchmarkRecord: Sendable {
    struct Result: Decodable, Sendable {
        struct Latency: Decodable, Sendable { let p50, p90, first: Double? }
        struct Load: Decodable, Sendable {
            let coldUs: Double?
            let warmUs: [Double]
        }

        let latency: Latency
        let load: Load
    }

    let title: String
    let result: Result
    let file: URL

    /// Throws: MobileKitError where it isn't a result, or the file can't be written.
    init(_ data: Data, title: String) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let result = try? decoder.decode([Result].self, from: data).first else {
            throw MobileKitError.model("\(title): the benchmark gave no figures. Run it again.")
        }
        file = URL.temporaryDirectory.appending(path: "bench.json")
        do { try data.write(to: file, options: .atomic) } catch {
            throw MobileKitError.memory("bench.json can't be written (\(error.localizedDescription)). Free storage.")
        }
        (self.title, self.result) = (title, result)
    }
}
