import Foundation

/// What went wrong, as one line for the person who uses the app: what was asked, why not, and the way out.
public struct MobileKitError: LocalizedError, Equatable, Sendable {
    public let errorDescription: String?

    public init(_ line: String) { errorDescription = line }
}

/// Do what another library may fail at; the line says what was asked, and what to do where it fails.
func asking<Value>(_ what: String, or advice: String, _ work: () throws -> Value) throws -> Value {
    do { return try work() } catch {
        throw MobileKitError("\(what) (\(error.localizedDescription)). \(advice)")
    }
}
