"""The playground: one sentence through one attention head, every number in sight."""

from pages.shared import controls, frame, panels

scenario = frame.begin()
controls.sentence_and_buttons(scenario)
result = controls.run(scenario)
panels.insight(result)
panels.all_stages(result)
panels.show_arithmetic(result)
panels.clicks(result)
