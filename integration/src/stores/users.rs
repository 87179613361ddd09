//! Users of versitygw, and what the bucket lets them do.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use object_store::{
    aws::AmazonS3Builder,
    path::Path,
    signer::{Method, SignedUrlOptions, Signer},
};
use serde_json::{Value, json};
use tidemark_gateway::{credentials::Credentials, tls};

use super::{BUCKET, REGION, StoreServer, install};

impl StoreServer {
    /// Makes a user who may do nothing yet.
    ///
    /// # Errors
    /// With what the server's own tool said.
    pub fn add_user(&self, user: &Credentials) -> Result<()> {
        let mut command = Command::new(install()?.join("bin/versitygw"));
        let root = self.credentials();
        command.args(["admin", "--access", root.access_key_id(), "--secret", root.secret_access_key()]);
        command.args(["--endpoint-url", &self.endpoint(), "create-user", "--role", "user"]);
        command.args(["--access", user.access_key_id(), "--secret", user.secret_access_key()]);
        let run = command.output().context("run versitygw admin")?;
        let said = [run.stdout, run.stderr].concat();
        ensure!(run.status.success(), "create-user: {}", String::from_utf8_lossy(&said));
        Ok(())
    }

    /// Replaces the bucket's policy.
    ///
    /// # Errors
    /// Where the server refuses it.
    pub async fn set_policy(&self, policy: &Value) -> Result<()> {
        tls::install();
        let root = self.credentials();
        let bucket = AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_region(REGION)
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_access_key_id(root.access_key_id())
            .with_secret_access_key(root.secret_access_key())
            .build()?;
        let query = SignedUrlOptions::default().with_query([("policy", "")]);
        let url = bucket.signed_url_opts(Method::PUT, &Path::default(), Duration::from_secs(60), &query).await?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let answer = client.put(url).body(policy.to_string()).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "policy of the bucket: {status}: {}", answer.text().await?);
        Ok(())
    }
}

/// What the listeners of `source` need, and no more, in a store at `prefix` of the bucket; as `docs/operations.md` has it.
pub fn listener_policy(user: &Credentials, prefix: &str, source: &str) -> Value {
    let user = user.access_key_id();
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": { "AWS": [user] },
                "Action": ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"],
                "Resource": [format!("arn:aws:s3:::{BUCKET}/{prefix}/sources/{source}/staged/*")]
            },
            {
                "Effect": "Allow",
                "Principal": { "AWS": [user] },
                "Action": ["s3:ListBucket"],
                "Resource": [format!("arn:aws:s3:::{BUCKET}")]
            }
        ]
    })
}
