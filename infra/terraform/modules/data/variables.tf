variable "project" {
  description = "The project's id."
  type        = string
}

variable "firestore_location" {
  description = "Firestore's location."
  type        = string
}

variable "multi_region" {
  description = "Where keys and files are: the same multi-region as Cloud KMS and Cloud Storage call it."
  type        = object({ kms = string, storage = string })
}

variable "indexes" {
  description = "The file firestore.indexes.json: indexes, exemptions and TTL policies. firebase.json names the same."
  type        = string
}

variable "rules" {
  description = "The file firestore.rules."
  type        = string
}

variable "secrets" {
  description = "The names of the secrets that functions are given."
  type        = list(string)
}
