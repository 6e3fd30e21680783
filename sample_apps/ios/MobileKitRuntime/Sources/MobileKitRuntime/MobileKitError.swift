import Foundation

/// What went wrong, as one line for the person who uses the app: what was asked, why not, and the way out.
public enum MobileKitError: LocalizedError, Equatable, Sendable {
    /// A file of an artifact is missing, broken or of an unknown version.
    case artifact(String)
    /// A photo can't be read or prepared.
    case image(String)
    /// There is not enough memory.
    case memory(String)
    /// The model can't be loaded or run.
    case model(String)
    /// The artifact asks for what this app doesn't do.
    case unsupported(String)

    public var errorDescription: String? {
        switch self {
        case .artifact(let line), .image(let line), .memory(let line), .model(let line), .unsupported(let line): line
        }
    }
}

/// Do what another library may fail at; the line says what was asked, and what to do where it fails.
func asking<Value>(_ what: String, or advice: String, _ work: () throws -> Value) throws -> Value {
    do { return try work() } catch {
        throw MobileKitError.model("\(what) (\(error.localizedDescription)). \(advice)")
    }
}
