package mobilekit.app

import android.content.Context
import android.content.SharedPreferences

/** Remembers for which [state] of the app the self-test was begun, so that one that ends the app is begun once. */
class FirstLaunch(private val remembered: SharedPreferences, private val state: String) {
    constructor(context: Context) :
        this(context.getSharedPreferences("self_test", Context.MODE_PRIVATE), state(context))

    /** Whether it was not begun before. */
    val isDue: Boolean = remembered.getString(STATE, null) != state

    /** Writes that it is begun, before it returns: a driver that crashes leaves no time for it later. */
    fun begin(): Boolean = remembered.edit().putString(STATE, state).commit()

    private companion object {
        const val STATE = "state"

        // An app that is bundled again with other models may have the version that it had.
        fun state(context: Context): String = context.packageManager.getPackageInfo(context.packageName, 0)
            .let { "${it.versionName} ${it.lastUpdateTime}" }
    }
}
