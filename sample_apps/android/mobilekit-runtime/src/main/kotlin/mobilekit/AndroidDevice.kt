package mobilekit

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import org.json.JSONObject

/** What the result schema says of the phone that the app runs on. */
fun androidDevice(context: Context): JSONObject {
    val memory = ActivityManager.MemoryInfo()
    (context.getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager).getMemoryInfo(memory)
    val battery = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
    val level = battery?.getIntExtra(BatteryManager.EXTRA_LEVEL, -1) ?: -1
    val plugged = battery?.getIntExtra(BatteryManager.EXTRA_PLUGGED, -1) ?: -1
    return record(
        "soc governor",
        "name" to "${Build.MANUFACTURER} ${Build.MODEL}", "kind" to "app", "os" to "Android",
        "emulated" to (Build.HARDWARE in listOf("goldfish", "ranchu")), "os_version" to Build.VERSION.RELEASE,
        "manufacturer" to Build.MANUFACTURER, "model" to Build.MODEL, "abi" to Build.SUPPORTED_ABIS.first(),
        "cores" to Runtime.getRuntime().availableProcessors(), "ram_bytes" to memory.totalMem,
        "battery_percent" to level.takeIf { it >= 0 }, "charging" to (plugged > 0).takeIf { plugged >= 0 },
    )
}
