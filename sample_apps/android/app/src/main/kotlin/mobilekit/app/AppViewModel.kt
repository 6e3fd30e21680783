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
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import mobilekit.AssetFiles
import mobilekit.Photo
import mobilekit.androidDevice

/** Does what the screens ask for in the background, one task after the other. */
class AppViewModel(private val app: Application) : AndroidViewModel(app) {
    // More threads than fast cores slow a phone down.
    private val threads = Runtime.getRuntime().availableProcessors().coerceAtMost(MOST_THREADS)
    private val engine = Engine(threads)
    private val busy = AtomicBoolean(true) // until the models are read
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
            now.update { it.opened(models) }
            busy.set(false)
            if (firstLaunch.isDue && firstLaunch.begin()) selfTest()
        }
    }

    fun choose(choice: Choice) = now.update { it.chosen(choice) }

    fun chooseForBenchmark(model: Model) = now.update { it.copy(benchModel = model, benched = emptyList()) }

    fun pick(kind: Kind, uri: Uri) = launch(Task.ANSWERING) {
        told { app.photo(uri) }.orElse(::tell)?.let { answer(kind, it) }
    }

    /** Answers a camera's frame on the thread of the caller, who thereby gives no other before the answer. */
    fun answer(kind: Kind, frame: ImageProxy) {
        told { frame.photo() }.orElse(::tell)?.let { answer(kind, it) }
    }

    fun tell(fault: String) = now.update { it.copy(notices = (it.notices + fault).distinct()) }

    fun selfTest() = launch(Task.TESTING) {
        now.update { it.copy(tested = emptyList()) }
        engine.selfTest(now.value.models.usable) { result -> now.update { it.copy(tested = it.tested + result) } }
    }

    /** Benchmarks the chosen model on everything that it can be computed on. */
    fun benchmark() = launch(Task.BENCHMARKING) {
        val model = now.value.benchModel ?: return@launch
        now.update { it.copy(benched = emptyList()) }
        for (unit in model.units) {
            val choice = Choice(model, unit)
            told { engine.benchmark(choice, threads, androidDevice(app)) }.orElse(::tell)?.let(::add)
        }
    }

    /** Writes bench.json, and gives the file to [share] on the screen's thread. */
    fun writeResults(share: (File) -> Unit) {
        viewModelScope.launch {
            val written = withContext(Dispatchers.IO) { told { app.writeResults(now.value.benched) } }
            written.orElse(::tell)?.let { file -> told { share(file) }.orElse(::tell) }
        }
    }

    /** Lets go of the loaded model, as the phone asks for memory; the next photo loads it again. */
    fun freeMemory() {
        viewModelScope.launch(Dispatchers.Default) {
            if (engine.drop()) now.update { it.copy(dropped = true) }
        }
    }

    override fun onCleared() {
        // It waits for a model that is running, which the screen's thread must not.
        Thread { engine.drop() }.start()
    }

    private fun answer(kind: Kind, photo: Photo) {
        val choice = now.value.choices[kind] ?: return
        val answered = told { engine.answer(choice, photo) }
        now.update { it.answered(choice, answered) }
    }

    private fun add(result: Benched) = now.update { it.copy(benched = it.benched + result) }

    private fun launch(task: Task, work: () -> Unit) {
        // Only one is started, however fast buttons are pressed.
        if (!busy.compareAndSet(false, true)) return
        viewModelScope.launch(Dispatchers.Default) {
            now.update { it.copy(task = task, notices = emptyList()) }
            try {
                told(work).orElse(::tell)
            } finally {
                now.update { it.copy(task = null) }
                busy.set(false)
            }
        }
    }

    private companion object {
        const val MOST_THREADS = 4
    }
}
