package mobilekit.app

/** A value, or the line that tells why there is none. */
class Outcome<T : Any>(val value: T?, val fault: String?) {
    /** The value; null after [tell] got the line. */
    inline fun orElse(tell: (String) -> Unit): T? {
        fault?.let(tell)
        return value
    }
}

/** Does work that may fail on what is bundled, chosen or built into the phone: a failure is a line, never a crash. */
inline fun <T : Any> attempt(work: () -> T): Outcome<T> =
    try {
        Outcome(work(), null)
    } catch (_: OutOfMemoryError) {
        Outcome(null, "This phone has not enough memory for it. Close other apps.")
    } catch (error: Exception) {
        // The runtime module words its own; others come from files that are broken beyond what it checks.
        Outcome(null, error.message.orEmpty().lineSequence().first().ifBlank { error.javaClass.simpleName })
    }
