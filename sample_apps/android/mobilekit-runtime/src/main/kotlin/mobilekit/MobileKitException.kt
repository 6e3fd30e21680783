package mobilekit

/** A failure that a user can read: one line with what was asked, why not, and the way out. */
class MobileKitException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** Runs what needs much memory. Throws: MobileKitException where there isn't enough. */
internal inline fun <T> withMemory(what: String, work: () -> T): T =
    try {
        work()
    } catch (error: OutOfMemoryError) {
        throw noMemory(what, error)
    }

internal fun noMemory(what: String, cause: Throwable? = null) =
    MobileKitException("$what: not enough memory. Close other apps, or take something smaller.", cause)
