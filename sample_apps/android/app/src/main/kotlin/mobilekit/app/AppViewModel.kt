package mobilekit.app

import android.app.Application
import android.net.Uri
import androidx.camera.core.ImageProxy
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.viewModelScope
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.getAndUpdate
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import mobilekit.AssetFiles
import mobilekit.Photo
import mobilekit.androidDevice

/** Does what the screens ask for in the background, one task after the other. */
class AppViewModel(private val app: Application) : AndroidViewModel(app) {
    // More threads than fast cores slow a phone down.
    private val engine = Engine(Runtime.getRuntime().availableProcessors().coerceAtMost(MOST_THREADS))
    private val stopped = AtomicBoolean()
    private val now = MutableStateFlow(AppState())
    private val firstLaunch = FirstLaunch(app)
    val state: StateFlow<AppState> = now.asStateFlow()

    /** Whether the self-test begins by itself. */
    val testsFirst: Boolean get() = firstLaunch.isDue

    init {
        viewModelScope.launch(Dispatchers.Default) {
            val files = AssetFiles(File(app.noBackupFilesDir, "models")) { app.assets.open("models/$it") }
            val models = Models.read(files)
            files.keepOnly(models.usable.map { it.manifest })
            val tests = firstLaunch.isDue && firstLaunch.begin()
            now.update { it.opened(models, if (tests) Task.TESTING else null) }
            if (tests) perform(::test)
        }
    }

    fun choose(choice: Choice) = now.update { it.chosen(choice) }

    fun chooseForBenchmark(model: Model) = now.update { it.copy(benchModel = model) }

    fun pick(kind: Kind, photo: Uri) = now.update { it.picked(kind, photo.toString()) }

    /** Answers the photo that was chosen, or the golden one, whose right answer the app shows at once. */
    fun answer(kind: Kind) = launch(Task.ANSWERING) {
        val picked = now.value.photos[kind]
        answer(kind) { choice -> if (picked == null) choice.model.goldenPhoto() else app.photo(Uri.parse(picked)) }
    }

    /** Answers a camera's frame on the thread of the caller, who thereby gives no other before the answer. */
    fun answer(kind: Kind, frame: ImageProxy) {
        if (!now.value.dropped) answer(kind) { frame.photo() }
    }

    fun tell(fault: String) = now.update { it.copy(notices = (it.notices + fault).distinct()) }

    fun selfTest() = launch(Task.TESTING, ::test)

    /** Benchmarks the chosen model on everything that it can be computed on. */
    fun benchmark() {
        stopped.set(false)
        launch(Task.BENCHMARKING) {
            val model = now.value.benchModel ?: return@launch
            for (unit in model.units) if (!stopped.get()) benchmark(Choice(model, unit))
        }
    }

    /** Ends the benchmark after the call that it is at. */
    fun stop() = stopped.set(true)

    /** Writes bench.json, and gives the file to [share] on the screen's thread. */
    fun writeResults(share: (File) -> Unit) {
        viewModelScope.launch {
            val written = withContext(Dispatchers.IO) { attempt { app.writeResults(now.value.ranking) } }
            written.orElse(::tell)?.let { file -> attempt { share(file) }.orElse(::tell) }
        }
    }

    /** Lets go of the loaded model, as the phone asks for memory, until the user goes on. */
    fun freeMemory() {
        if (!engine.holds) return
        // First, so that no further frame loads it again.
        now.update { it.copy(dropped = true) }
        viewModelScope.launch(Dispatchers.Default) { engine.drop() }
    }

    /** Models may be loaded again. */
    fun goOn() = now.update { it.copy(dropped = false) }

    override fun onCleared() {
        // It waits for a model that is running, which the screen's thread must not.
        Thread { engine.drop() }.start()
    }

    private fun answer(kind: Kind, photo: (Choice) -> Photo) {
        val choice = now.value.choices[kind] ?: return
        val answered = attempt { engine.answer(choice, photo(choice)) }
        now.update { it.answered(choice, answered) }
        // A frame that was on its way as memory ran short may have loaded it again.
        if (now.value.dropped) engine.drop()
    }

    private fun test() {
        now.update { it.copy(tested = emptyList()) }
        engine.selfTest(now.value.models.usable) { result -> now.update { it.copy(tested = it.tested + result) } }
    }

    private fun benchmark(choice: Choice) {
        val result = attempt { engine.benchmark(choice, androidDevice(app), stopped::get) }.orElse(::tell) ?: return
        now.update { it.copy(benched = it.benched + (choice to result)) }
    }

    private fun launch(task: Task, work: () -> Unit) {
        // Only one is started, however fast buttons are pressed.
        if (now.getAndUpdate { it.begun(task) }.task == null) {
            viewModelScope.launch(Dispatchers.Default) { perform(work) }
        }
    }

    private fun perform(work: () -> Unit) {
        try {
            attempt(work).orElse(::tell)
        } finally {
            now.update { it.copy(task = null) }
        }
    }

    private companion object {
        const val MOST_THREADS = 4
    }
}
