variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where functions run."
  type        = string
}

variable "database_location" {
  description = "Firestore's location: its triggers must be there."
  type        = string
}

# In functions.json `deploy` and what is in it may be left out. `any`, because triggers of different types have different keys.
variable "functions" {
  description = "What infra/functions.json lists."
  type        = any
}

variable "source_bucket" {
  description = "The bucket of functions' zips."
  type        = string
}

variable "source_object" {
  description = "The zip that a new function begins with."
  type        = string
}

variable "repository" {
  description = "The repository that their images are built into."
  type        = string
}

variable "accounts" {
  description = "The service accounts, by what they are for."
  type        = map(string)
}

variable "secrets" {
  description = "The id of each secret, by its name."
  type        = map(string)
}

variable "environment" {
  description = "The functions' settings (docs/operations.md)."
  type        = map(string)
}
