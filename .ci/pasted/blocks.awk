# Writes those code blocks of a Markdown page that a user pastes into files to the folder `dir`: `toml`, `build`
# (build.rs), `generated` (the module of src/main.rs), `server` and `client` (the first blocks under these
# headings). Lines that rustdoc hides are left out.
function file(info, heading, first) {
  if (info == "toml") return "toml"
  if (first == "// build.rs") return "build"
  if (first == "// src/main.rs") return "generated"
  if (info !~ /^(rust|no_run|rust,no_run|)$/) return ""
  if (heading ~ /^#+ (.* )?server$/) return "server"
  if (heading ~ /^#+ (.* )?client$/) return "client"
  return ""
}

/^```/ && !inside { inside = 1; info = substr($0, 4); first = ""; name = ""; began = 0; next }
/^```/ { inside = 0; if (name != "") written[name] = 1; next }
!inside && /^##? / { heading = tolower($0); next }
!inside { next }
info != "toml" && /^#( |$)/ { next }
!began {
  began = 1
  name = file(info, heading, $0)
  if (name in written) name = ""
}
name != "" { print > (dir "/" name) }
