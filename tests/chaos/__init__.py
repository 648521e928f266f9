"""The whole system in processes, under load, while its parts are killed at random; a checker holds it to its promises."""
