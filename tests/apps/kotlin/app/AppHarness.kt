// Drives what the Android app does without a screen on a JVM: reads a request, and prints what came out as JSON.
package harness

import android.content.SharedPreferences
import androidx.camera.core.ImageInfo
import androidx.camera.core.ImageProxy
import java.io.File
import java.lang.reflect.InvocationHandler
import java.lang.reflect.Method
import java.lang.reflect.Proxy
import java.nio.ByteBuffer
import mobilekit.FolderFiles
import mobilekit.Photo
import mobilekit.Picture
import mobilekit.app.Answered
import mobilekit.app.AppState
import mobilekit.app.Choice
import mobilekit.app.Engine
import mobilekit.app.FirstLaunch
import mobilekit.app.Kind
import mobilekit.app.Latency
import mobilekit.app.Models
import mobilekit.app.Reading
import mobilekit.app.Told
import mobilekit.app.photo
import mobilekit.app.selfTest
import mobilekit.app.told
import org.json.JSONArray
import org.json.JSONObject

fun main(arguments: Array<String>) {
    val folder = File(arguments[1])
    val said: Any = when (arguments[0]) {
        "models" -> models(folder)
        "frame" -> frame(folder)
        "choices" -> choices(folder)
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
    val read = told { Frame(record, File(folder, "frame.bin").readBytes()).photo() }
    val photo = read.value ?: return JSONObject().put("fault", read.fault)
    val size = JSONArray(listOf(photo.height, photo.width))
    return JSONObject().put("size", size).put("argb", JSONArray(photo.argb.toList()))
}

/** What stays of an answer when another model or unit is chosen, before and after it comes. */
private fun choices(folder: File): JSONObject {
    val first = AppState().opened(Models.read(FolderFiles(folder)))
    val choice = first.choices.getValue(Kind.CLASSES)
    val other = Choice(choice.model, choice.model.units.last())
    val picture = Picture(1, 1, 1, ByteArray(1))
    val answer = Told(Answered(picture, Reading.Classes(emptyList()), Latency(0.0, 0.0, 0.0), "none"), null)
    val answered = first.copy(notices = listOf("old"), dropped = true).answered(choice, answer)
    val failed = answered.answered(choice, Told(null, "why not"))
    return JSONObject()
        .put("units", JSONArray(listOf(choice.unit, other.unit)))
        .put("answered", answered.answers.size)
        .put("cleared", answered.notices.isEmpty() && !answered.dropped)
        .put("failed", failed.notices.single())
        .put("chosen_after", answered.chosen(other).answers.size)
        .put("chosen_before", first.chosen(other).answered(choice, answer).answers.size)
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
        .put("answer", told { engine.answer(choice, Photo(1, 1, IntArray(1))) }.fault)
        .put("tested", JSONArray(tested))
        .put("dropped", engine.drop())
        .put("memory", told { throw OutOfMemoryError("of a frame") }.fault)
}
