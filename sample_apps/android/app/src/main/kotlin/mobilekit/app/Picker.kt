package mobilekit.app

import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.material3.DropdownMenu
import androidx.compose.material3.DropdownMenuItem
import androidx.compose.material3.OutlinedButton
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource

/** Picks a model, and what it is computed on; a model's file settles which runner that is. */
@Composable
fun ChoicePicker(models: List<Model>, choice: Choice, onChoice: (Choice) -> Unit) {
    Picker(stringResource(R.string.pick_model), models, choice.model, Model::title) { model ->
        onChoice(Choice(model, choice.unit.takeIf { it in model.units } ?: model.units.first()))
    }
    Picker(stringResource(R.string.pick_unit), choice.model.units, choice.unit, { it }) { unit ->
        onChoice(choice.copy(unit = unit))
    }
}

/** A button with the chosen one of [items], which opens the list of them. */
@Composable
fun <T> Picker(label: String, items: List<T>, chosen: T, title: (T) -> String, onChoice: (T) -> Unit) {
    var open by remember { mutableStateOf(false) }
    Box {
        OutlinedButton(onClick = { open = true }, modifier = Modifier.fillMaxWidth()) {
            Text(stringResource(R.string.picked, label, title(chosen)))
        }
        DropdownMenu(expanded = open, onDismissRequest = { open = false }) {
            for (item in items) {
                DropdownMenuItem(
                    text = { Text(title(item)) },
                    onClick = {
                        open = false
                        onChoice(item)
                    },
                )
            }
        }
    }
}
