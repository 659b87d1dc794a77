"""All tests of the suite: importing this has them registered."""

from umi_cli.certify import application_cases as application_cases
from umi_cli.certify import authority_cases as authority_cases
from umi_cli.certify import certificate_cases as certificate_cases
from umi_cli.certify import deferral_cases as deferral_cases
from umi_cli.certify import exchange_cases as exchange_cases
from umi_cli.certify import fragment_cases as fragment_cases
from umi_cli.certify import image_cases as image_cases
from umi_cli.certify import image_package_cases as image_package_cases
from umi_cli.certify import link_cases as link_cases
from umi_cli.certify import object_cases as object_cases
from umi_cli.certify import part_cases as part_cases
from umi_cli.certify import reply_cases as reply_cases
from umi_cli.certify import role_cases as role_cases
from umi_cli.certify import scheme1_cases as scheme1_cases
from umi_cli.certify import session_cases as session_cases
from umi_cli.certify import signature_cases as signature_cases
from umi_cli.certify import timing_cases as timing_cases
from umi_cli.certify.case import CASES as CASES
from umi_cli.certify.run import chosen as chosen
