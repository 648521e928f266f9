# Keepline in one project. Read it from above: each module's main.tf says what it makes and why.
#
# Who owns what: this describes what there is (functions and what sets them off, pools, accounts, settings). Which build runs is
# the releases' (cloudbuild.yaml), so the image of a pool and the source of a function are only begun with here and then ignored.

locals {
  # The one list of functions: the local run and the release read it as well.
  functions = jsondecode(file("${path.root}/../functions.json")).functions

  # The secrets that functions are given, and which account reads which.
  secrets = distinct(flatten([for one in local.functions : values(try(one.deploy.secrets, {}))]))
  secret_readers = distinct(flatten([
    for one in local.functions : [
      for secret in values(try(one.deploy.secrets, {})) :
      { secret = secret, account = try(one.deploy.service_account, "functions") }
    ]
  ]))

  # connector-1 in the first region, connector-2 in the second, …
  connectors = { for place, region in var.regions : "connector-${place + 1}" => region }
}

module "services" {
  source = "./modules/services"
}

# What must not be lost. `make destroy` leaves it alone, and Terraform refuses to destroy what is in it.
module "data" {
  source = "./modules/data"

  project            = var.project
  firestore_location = var.firestore_location
  multi_region       = var.multi_region
  indexes            = "${path.root}/../firestore.indexes.json"
  rules              = "${path.root}/../firestore.rules"
  secrets            = local.secrets

  depends_on = [module.services]
}

# Where builds put what they make.
module "releases" {
  source = "./modules/releases"

  project = var.project
  region  = var.regions[0]

  depends_on = [module.services]
}

# Who may do what.
module "access" {
  source = "./modules/access"

  project        = var.project
  session_key    = module.data.session_key
  webhook_key    = module.data.webhook_key
  media_bucket   = module.data.media_bucket
  secrets        = module.data.secrets
  secret_readers = local.secret_readers
  repositories   = module.releases.repositories
  source_bucket  = module.releases.source_bucket
  weekly_builds  = var.source_repository != ""
}

# One network; in each region a subnet that leaves through addresses which stay.
module "network" {
  source = "./modules/network"

  regions = var.regions

  depends_on = [module.services]
}

# One pool is one connector, because a connector keeps its name.
module "connector" {
  source   = "./modules/connector"
  for_each = local.connectors

  name            = each.key
  region          = each.value
  image           = var.image
  memory          = var.connector_memory
  network         = module.network.network
  subnetwork      = module.network.subnetworks[each.value]
  service_account = module.access.accounts["connector"]
  restarted_by    = module.access.accounts["watch"]
  environment = {
    KEEPLINE_PROJECT      = var.project
    KEEPLINE_CONNECTOR_ID = each.key
    KEEPLINE_REGION       = each.value
    KEEPLINE_PROFILE      = var.profile
    KEEPLINE_KMS_KEY      = module.data.session_key
    KEEPLINE_MEDIA_BUCKET = module.data.media_bucket
    KEEPLINE_MEDIA_DAYS   = tostring(var.media_days)
  }

  depends_on = [module.access]
}

module "functions" {
  source = "./modules/functions"

  project           = var.project
  region            = var.regions[0]
  database_location = var.firestore_location
  functions         = local.functions
  source_bucket     = module.releases.source_bucket
  source_object     = var.functions_source
  repository        = module.releases.repositories["functions"]
  accounts          = module.access.accounts
  secrets           = module.data.secrets
  environment = {
    KEEPLINE_PROJECT         = var.project
    KEEPLINE_KMS_KEY         = module.data.session_key
    KEEPLINE_WEBHOOK_KMS_KEY = module.data.webhook_key
    KEEPLINE_MEDIA_BUCKET    = module.data.media_bucket
    KEEPLINE_MEDIA_DAYS      = tostring(var.media_days)
    KEEPLINE_SESSIONS_MAX    = tostring(var.sessions_max)
    KEEPLINE_RECOVERY        = var.recovery
    KEEPLINE_APP_CHECK       = var.app_check_site_key == "" ? "off" : "require"
  }

  # Eventarc looks at the rights of its account when a trigger is made.
  depends_on = [module.access]
}

module "rebuild" {
  source = "./modules/rebuild"
  count  = var.source_repository == "" ? 0 : 1

  project    = var.project
  region     = var.regions[0]
  repository = var.source_repository
  account    = module.access.accounts["release"]

  depends_on = [module.services]
}

module "console" {
  source = "./modules/console"

  project            = var.project
  open_sign_up       = var.open_sign_up
  app_check_site_key = var.app_check_site_key

  depends_on = [module.services]
}

# Google's own eyes on it, from outside of Keepline: they still see when Keepline sees nothing.
module "watch" {
  source = "./modules/watch"

  project         = var.project
  operators       = var.operators
  connectors      = keys(local.connectors)
  api_host        = module.functions.api_host
  billing_account = var.billing_account
  budget_monthly  = var.budget_monthly

  depends_on = [module.services]
}
