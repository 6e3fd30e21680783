// Drives what the Android app does without a screen on a JVM: reads a request, and prints what came out as JSON.
package harness.app

import android.content.SharedPreferences
import androidx.camera.core.ImageInfo
import androidx.camera.core.ImageProxy
import androidx.compose.ui.graphics.ImageBitmap
import java.io.File
import java.lang.reflect.InvocationHandler
import java.lang.reflect.Method
import java.lang.reflect.Proxy
import java.nio.ByteBuffer
import mobilekit.FolderFiles
import mobilekit.GoldenResult
import mobilekit.ModelRunner
import mobilekit.OutputCheck
import mobilekit.Photo
import mobilekit.app.Answered
import mobilekit.app.AppState
import mobilekit.app.Benched
import mobilekit.app.Choice
import mobilekit.app.Engine
import mobilekit.app.FirstLaunch
import mobilekit.app.Kind
import mobilekit.app.Latency
import mobilekit.app.Models
import mobilekit.app.Reading
import mobilekit.app.Stoppable
import mobilekit.app.Task
import mobilekit.app.Outcome
import mobilekit.app.photo
import mobilekit.app.selfTest
import mobilekit.app.attempt
import org.json.JSONArray
import org.json.JSONObject

fun main(arguments: Array<String>) {
    val folder = File(arguments[1])
    val said: Any = when (arguments[0]) {
        "models" -> models(folder)
        "frame" -> frame(folder)
        "choices" -> choices(folder)
        "photos" -> photos(folder)
        "memory" -> memory(folder)
        "ranking" -> ranking(folder)
        "stopped" -> stopped()
        "failures" -> failures(folder)
        "first launch" -> firstLaunch()
        else -> throw IllegalArgumentException(arguments[0])
    }
    println(said)
}

private fun models(folder: File): JSONObject {
    val models = Models.read(FolderFiles(folder))
    val usable = models.usable.map { JSONArray(listOf(it.title, it.kind.name, JSONArray(it.units))) }
    return JSONObject().put("usable", JSONArray(usable)).put("faults", JSONArray(models.faults))
}

/** A frame as CameraX gives it, of frame.json and frame.bin. */
private class Frame(record: JSONObject, bytes: ByteArray) : ImageProxy {
    override val width = record.getInt("width")
    override val height = record.getInt("height")
    override val imageInfo = object : ImageInfo {
        override val rotationDegrees = record.getInt("rotation")
    }
    override val planes = arrayOf<ImageProxy.PlaneProxy>(object : ImageProxy.PlaneProxy {
        override val rowStride = record.getInt("row_stride")
        override val pixelStride = record.getInt("pixel_stride")
        override val buffer: ByteBuffer = ByteBuffer.wrap(bytes)
    })

    override fun close() = Unit
}

private fun frame(folder: File): JSONObject {
    val record = JSONObject(File(folder, "frame.json").readText())
    val read = attempt { Frame(record, File(folder, "frame.bin").readBytes()).photo() }
    val photo = read.value ?: return JSONObject().put("fault", read.fault)
    val size = JSONArray(listOf(photo.height, photo.width))
    return JSONObject().put("size", size).put("argb", JSONArray(photo.argb.toList()))
}

private fun opened(folder: File) = AppState().opened(Models.read(FolderFiles(folder)), next = null)

private val AppState.choice: Choice get() = choices.getValue(Kind.CLASSES)

private val answer = object : ImageBitmap {
    override val width = 1
    override val height = 1
}.let { Outcome(Answered(it, null, Reading.Classes(emptyList()), Latency(0.0, 0.0, 0.0), "none"), null) }

private val fault = Outcome<Answered>(null, "why not")

/** What stays of an answer when another model or unit is chosen, before and after it comes. */
private fun choices(folder: File): JSONObject {
    val first = opened(folder)
    val choice = first.choice
    val other = Choice(choice.model, choice.model.units.last())
    val answered = first.copy(notices = listOf("old")).answered(choice, answer)
    val failed = answered.answered(choice, fault)
    return JSONObject()
        .put("units", JSONArray(listOf(choice.unit, other.unit)))
        .put("answered", answered.answers.size)
        .put("cleared", answered.notices.isEmpty())
        .put("failed", failed.notices.single())
        .put("chosen_after", answered.chosen(other).answers.size)
        .put("chosen_before", first.chosen(other).answered(choice, answer).answers.size)
}

/** When a photo is answered by itself: once for each choice and photo, while nothing else goes on. */
private fun photos(folder: File): JSONObject {
    val first = opened(folder)
    val answered = first.answered(first.choice, answer)
    val failed = first.answered(first.choice, fault)
    val other = Choice(first.choice.model, first.choice.model.units.last())
    return JSONObject(
        mapOf(
            "reading" to AppState().awaits(Kind.CLASSES),
            "opened" to first.awaits(Kind.CLASSES),
            "at work" to first.begun(Task.TESTING).awaits(Kind.CLASSES),
            "answered" to answered.awaits(Kind.CLASSES),
            "failed" to failed.awaits(Kind.CLASSES),
            "failed, chosen" to failed.chosen(other).awaits(Kind.CLASSES),
            "picked" to answered.picked(Kind.CLASSES, "photo").awaits(Kind.CLASSES),
            "no such model" to AppState().opened(Models(emptyList(), emptyList()), null).awaits(Kind.CLASSES),
        )
    )
}

/** Whether the model stays unloaded after memory ran short: until the user goes on, whatever was still at work. */
private fun memory(folder: File): JSONObject {
    val dropped = opened(folder).copy(dropped = true)
    return JSONObject(
        mapOf(
            "awaits" to dropped.awaits(Kind.CLASSES),
            "answered" to dropped.answered(dropped.choice, answer).dropped,
            "failed" to dropped.answered(dropped.choice, fault).dropped,
            "chosen" to dropped.chosen(dropped.choice).dropped,
            "picked" to dropped.picked(Kind.CLASSES, "photo").dropped,
            "begun" to dropped.begun(Task.BENCHMARKING).dropped,
            "one at a time" to (dropped.begun(Task.TESTING).begun(Task.BENCHMARKING).task == Task.TESTING),
        )
    )
}

/** Results of several models and units, one of them measured again, after another model was chosen. */
private fun ranking(folder: File): JSONArray {
    val first = opened(folder)
    fun state(before: AppState, model: Int, unit: String, p50: Double): AppState {
        val chosen = first.models.usable[model]
        val latency = JSONObject().put("latency", JSONObject().put("p50", p50))
        val found = GoldenResult(unit, 0.0, listOf(OutputCheck("logits", 40.0, 30.0)), true, 5.0, emptyList())
        val benched = Benched(chosen.title, latency, found)
        return before.copy(benchModel = chosen, benched = before.benched + (Choice(chosen, unit) to benched))
    }
    var now = state(first, 0, "CPU", 9000.0)
    now = state(now, 0, "GPU", 4000.0)
    now = state(now, 2, "CPU", 3000.0)
    now = state(now, 0, "CPU", 2000.0)
    now = now.begun(Task.BENCHMARKING)
    return JSONArray(now.ranking.map { JSONArray(listOf(it.title, it.runner, it.p50Ms, it.loadMs, it.passed)) })
}

/** Calls of a runner before and after it is stopped, and whether it is closed all the same. */
private fun stopped(): JSONObject {
    var calls = 0
    var closed = false
    val runner = object : ModelRunner {
        override val name = "counting"
        override val threads = 3
        override fun run(inputs: Map<String, ByteArray>) = emptyMap<String, FloatArray>().also { calls++ }
        override fun close() { closed = true }
    }
    var stop = false
    val said = attempt {
        Stoppable(runner, { stop }).use {
            it.run(emptyMap())
            stop = true
            it.run(emptyMap())
        }
    }
    return JSONObject().put("calls", calls).put("closed", closed).put("fault", said.fault)
}

/** Whether the self-test begins by itself: at first, after it was begun, and in another version of the app. */
private fun firstLaunch(): JSONArray {
    val remembered = Preferences().proxy
    fun due(state: String) = FirstLaunch(remembered, state).isDue
    return JSONArray(listOf(due("1"), FirstLaunch(remembered, "1").begin(), due("1"), due("2")))
}

/** What an app remembers, of which no more is there than is used. */
private class Preferences : InvocationHandler {
    private val texts = HashMap<Any?, Any?>()
    private val committed = HashMap<Any?, Any?>()
    val proxy = Proxy.newProxyInstance(
        javaClass.classLoader, arrayOf(SharedPreferences::class.java, SharedPreferences.Editor::class.java), this,
    ) as SharedPreferences

    override fun invoke(self: Any, method: Method, given: Array<Any?>?): Any? = when (method.name) {
        "edit" -> self
        "getString" -> committed[given!![0]]
        "putString" -> self.also { texts[given!![0]] = given[1] }
        "commit" -> true.also { committed.putAll(texts) }
        else -> throw UnsupportedOperationException(method.name)
    }
}

/** What users read where no runtime is there to run a model. */
private fun failures(folder: File): JSONObject {
    val engine = Engine(threads = 1)
    val models = Models.read(FolderFiles(folder)).usable
    val choice = Choice(models.first(), models.first().units.first())
    val tested = ArrayList<String?>()
    engine.selfTest(models) { tested += it.found.fault }
    return JSONObject()
        .put("answer", attempt { engine.answer(choice, Photo(1, 1, IntArray(1))) }.fault)
        .put("tested", JSONArray(tested))
        .put("dropped", engine.drop())
        .put("memory", attempt { throw OutOfMemoryError("of a frame") }.fault)
}
