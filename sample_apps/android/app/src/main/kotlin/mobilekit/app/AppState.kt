package mobilekit.app

/** What the app is at beside the camera. [measures]: nothing else is to run, and the screen stays on. */
enum class Task(val measures: Boolean = false) { READING, ANSWERING, TESTING(true), BENCHMARKING(true) }

/** All that the screens show. [notices]: failures, a line each. [dropped]: the model was unloaded to free memory. */
data class AppState(
    val models: Models = Models(emptyList(), emptyList()),
    val choices: Map<Kind, Choice> = emptyMap(),
    val answers: Map<Kind, Answered> = emptyMap(),
    val benchModel: Model? = null,
    val benched: List<Benched> = emptyList(),
    val tested: List<SelfTested> = emptyList(),
    val task: Task? = Task.READING,
    val notices: List<String> = emptyList(),
    val dropped: Boolean = false,
) {
    /** With these models, the first of each kind chosen. */
    fun opened(models: Models): AppState {
        val all = models.usable.map { Choice(it, it.units.first()) }
        val choices = Kind.entries.mapNotNull { kind -> all.find { it.model.kind == kind }?.let { kind to it } }
        return copy(task = null, models = models, choices = choices.toMap(), benchModel = all.firstOrNull()?.model)
    }

    /** With another choice, to which the last answer doesn't belong. */
    fun chosen(choice: Choice): AppState {
        val kind = choice.model.kind
        return copy(choices = choices + (kind to choice), answers = answers - kind)
    }

    /** With an answer, unless another model was chosen meanwhile. */
    fun answered(choice: Choice, answered: Told<Answered>): AppState {
        val kind = choice.model.kind
        if (choices[kind] != choice) return this
        val answers = answered.value?.let { answers + (kind to it) } ?: answers
        return copy(answers = answers, notices = listOfNotNull(answered.fault), dropped = false)
    }
}
