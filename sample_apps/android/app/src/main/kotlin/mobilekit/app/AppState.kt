package mobilekit.app

/** What the app is at beside the camera. [measures]: nothing else is to run, and the screen stays on. */
enum class Task(val measures: Boolean = false) { READING, ANSWERING, TESTING(true), BENCHMARKING(true) }

/** All that the screens show.
 *
 * [photos]: the addresses of what the user chose last. [failed]: where the last photo got no answer. [benched]: results
 * stay as long as the app lives, to be compared. [notices]: failures, a line each. [dropped]: the model was unloaded to
 * free memory, and is not to be loaded until the user goes on.
 */
data class AppState(
    val models: Models = Models(emptyList(), emptyList()),
    val choices: Map<Kind, Choice> = emptyMap(),
    val photos: Map<Kind, String> = emptyMap(),
    val answers: Map<Kind, Answered> = emptyMap(),
    val failed: Set<Kind> = emptySet(),
    val benchModel: Model? = null,
    val benched: Map<Choice, Benched> = emptyMap(),
    val tested: List<SelfTested> = emptyList(),
    val task: Task? = Task.READING,
    val notices: List<String> = emptyList(),
    val dropped: Boolean = false,
) {
    /** The results, fastest first. */
    val ranking: List<Benched> get() = benched.values.sortedBy { it.p50Ms }

    /** Whether a model of a kind has a photo to answer, its golden one until the user chose another. */
    fun awaits(kind: Kind): Boolean =
        kind in choices && kind !in answers && kind !in failed && task == null && !dropped

    /** With these models, the first of each kind chosen, and what is done next. */
    fun opened(models: Models, next: Task?): AppState {
        val all = models.usable.map { Choice(it, it.units.first()) }
        val choices = Kind.entries.mapNotNull { kind -> all.find { it.model.kind == kind }?.let { kind to it } }
        return copy(task = next, models = models, choices = choices.toMap(), benchModel = all.firstOrNull()?.model)
    }

    /** With another choice, to which the last answer doesn't belong. */
    fun chosen(choice: Choice): AppState {
        val kind = choice.model.kind
        return copy(choices = choices + (kind to choice)).anew(kind)
    }

    /** With another photo, to be answered. */
    fun picked(kind: Kind, photo: String): AppState = copy(photos = photos + (kind to photo)).anew(kind)

    /** At a task, unless there is another. */
    fun begun(task: Task): AppState =
        if (this.task == null) copy(task = task, notices = emptyList(), dropped = false) else this

    /** With an answer, unless another model was chosen meanwhile. */
    fun answered(choice: Choice, answered: Outcome<Answered>): AppState {
        val kind = choice.model.kind
        if (choices[kind] != choice) return this
        val answers = answered.value?.let { answers + (kind to it) } ?: answers
        val failed = if (answered.fault == null) failed - kind else failed + kind
        return copy(answers = answers, failed = failed, notices = listOfNotNull(answered.fault))
    }

    private fun anew(kind: Kind) = copy(answers = answers - kind, failed = failed - kind, dropped = false)
}
