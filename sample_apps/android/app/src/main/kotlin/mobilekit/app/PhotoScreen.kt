package mobilekit.app

import androidx.activity.compose.rememberLauncherForActivityResult
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Row
import androidx.compose.material3.Button
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp

/** A model of a kind on photos and on the camera's frames. */
@Composable
fun PhotoScreen(kind: Kind, state: AppState, viewModel: AppViewModel) {
    val choice = state.choices[kind]
    if (choice == null) {
        if (state.task != Task.READING) Text(stringResource(R.string.no_models))
        return
    }
    // A measurement has the phone for itself.
    val measured = state.task?.measures == true
    var camera by rememberSaveable { mutableStateOf(false) }
    val picker = rememberLauncherForActivityResult(PickVisualMedia()) { uri ->
        uri?.let { viewModel.pick(kind, it) } // null where the user went back
    }
    val awaits = state.awaits(kind) && !camera
    LaunchedEffect(awaits) { if (awaits) viewModel.answer(kind) }
    LaunchedEffect(state.dropped) { if (state.dropped) camera = false }
    ChoicePicker(state.models.of(kind), choice, viewModel::choose)
    Row(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
        Button(
            enabled = state.task == null,
            onClick = {
                camera = false
                // Some phones have nothing that picks photos.
                attempt { picker.launch(PickVisualMediaRequest(PickVisualMedia.ImageOnly)) }.orElse(viewModel::tell)
            },
        ) { Text(stringResource(R.string.pick_photo)) }
        Button(
            enabled = !measured,
            onClick = {
                camera = !camera
                viewModel.goOn()
            },
        ) {
            Text(stringResource(if (camera) R.string.camera_stop else R.string.camera_start))
        }
    }
    if (camera && !measured) AllowedCamera({ viewModel.answer(kind, it) }, viewModel::tell)
    state.answers[kind]?.let { AnswerView(it) }
}
