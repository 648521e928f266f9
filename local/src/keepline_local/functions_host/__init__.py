"""Cloud Run functions and Firebase Hosting on one machine: the functions of the table, those of one service account in a process.

`python -m keepline_local.functions_host` serves the API and the console, and takes the events that `keepline_local.eventarc`
delivers; each request goes through functions-framework's app of the function that it is for.
"""
