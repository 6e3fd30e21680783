package mobilekit.app

import android.content.Context

/** Remembers for which state of the app the self-test was done. */
class FirstLaunch(private val context: Context) {
    private val remembered = context.getSharedPreferences("self_test", Context.MODE_PRIVATE)

    // An app that is bundled again with other models may have the version that it had.
    private val state: String
        get() = context.packageManager.getPackageInfo(context.packageName, 0)
            .let { "${it.versionName} ${it.lastUpdateTime}" }

    val isDue: Boolean get() = remembered.getString(STATE, null) != state

    fun done() = remembered.edit().putString(STATE, state).apply()

    private companion object {
        const val STATE = "state"
    }
}
