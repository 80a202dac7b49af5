//! The libraries of the stores, set up from the environment.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, Result, RetryConfig};

use super::address::{Address, Place};

/// How often one request is repeated that a server refused for now, or that broke.
const MOST_RETRIES: usize = 6;

/// The store of an address, and the folder that it is, where it is one. A folder that is not there is an empty store in memory.
///
/// Credentials and endpoints come from the variables that the tools of each cloud read, too: `AWS_*`, `GOOGLE_*`, `AZURE_*`.
pub(super) fn open(address: &Address) -> Result<(Arc<dyn ObjectStore>, Option<PathBuf>)> {
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: MOST_RETRIES,
        retry_timeout: Duration::from_mins(1),
    };
    Ok(match &address.place {
        Place::Folder(path) if !path.is_dir() => (Arc::new(InMemory::new()), None),
        Place::Folder(path) => (
            Arc::new(LocalFileSystem::new_with_prefix(path)?),
            Some(path.clone()),
        ),
        Place::S3(bucket) => {
            let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
            (Arc::new(builder.with_retry(retry).build()?), None)
        }
        Place::Google(bucket) => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
            (Arc::new(builder.with_retry(retry).build()?), None)
        }
        Place::Azure(container) => {
            let builder = MicrosoftAzureBuilder::from_env().with_container_name(container);
            (Arc::new(builder.with_retry(retry).build()?), None)
        }
        Place::Http(server) => {
            let options = ClientOptions::new().with_allow_http(true);
            let builder = HttpBuilder::new().with_url(server).with_retry(retry);
            (
                Arc::new(builder.with_client_options(options).build()?),
                None,
            )
        }
    })
}
